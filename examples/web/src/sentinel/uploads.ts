import { type PreviousUpload, Upload } from 'tus-js-client'
import type { Sentinel } from './client'

const CHUNK_BYTES = 6 * 1024 * 1024

/** A new path for a file in its user's folder. Letters that Storage refuses become plain ones, or `_`. */
export function pathFor(user: { id: string }, file: { name: string }): string {
  const plain = file.name.normalize('NFKD').replace(/\p{M}+/gu, '')
  return `${user.id}/${crypto.randomUUID()}-${plain.replace(/[^A-Za-z0-9._-]+/g, '_').slice(-100)}`
}

export interface UploadOptions {
  /** Gets numbers from 0 to 1. */
  onProgress?: (part: number) => void
  /** Aborting pauses an upload in chunks: a later call with the same file resumes it. */
  signal?: AbortSignal
}

/** Upload a file, in chunks if it is large; returns its path. */
export async function upload(
  supabase: Sentinel, path: string, file: File, options: UploadOptions = {},
): Promise<string> {
  options.signal?.throwIfAborted()
  if (file.size > CHUNK_BYTES) return uploadLarge(supabase, path, file, options)
  const { error } = await supabase.storage.from('media').upload(path, file, { contentType: file.type })
  if (error) throw error
  options.onProgress?.(1)
  return path
}

/** Upload a file in chunks; returns its path, which is an earlier one if an earlier upload was resumed. */
export function uploadLarge(
  supabase: Sentinel, path: string, file: File, { onProgress, signal }: UploadOptions = {},
): Promise<string> {
  const storage = supabase.storage.from('media')
  const metadata = { bucketName: 'media', objectName: path, contentType: file.type }
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const transfer = new Upload(file, {
      endpoint: storage.getPublicUrl('').data.publicUrl.replace(/object\/public\/media\/?$/, 'upload/resumable'),
      chunkSize: CHUNK_BYTES,
      retryDelays: [0, 1000, 3000, 5000, 10000],
      uploadDataDuringCreation: true,
      removeFingerprintOnSuccess: true,
      metadata,
      onBeforeRequest: async (request) => {
        const { data } = await supabase.auth.getSession()
        request.setHeader('Authorization', `Bearer ${data.session?.access_token ?? ''}`)
      },
      onProgress: (sent, total) => onProgress?.(sent / total),
      onSuccess: () => resolve(metadata.objectName),
      onError: reject,
    })
    const stopped = () => reject(signal?.reason as Error)
    signal?.addEventListener('abort', () => void transfer.abort().then(stopped, reject))
    const begin = (unfinished: PreviousUpload[]) => {
      const mine = unfinished.find((one) => one.metadata['objectName']?.startsWith(`${path.split('/')[0]}/`))
      if (mine) {
        // Also where the server has forgotten it, and it is created anew.
        metadata.objectName = mine.metadata['objectName'] ?? path
        transfer.resumeFromPreviousUpload(mine)
      }
      if (!signal?.aborted) transfer.start()
    }
    transfer.findPreviousUploads().then(begin).catch(reject)
  })
}

/** A token with which someone without a session can upload one file to `path`. */
export async function uploadTicket(supabase: Sentinel, path: string): Promise<string> {
  const { data, error } = await supabase.storage.from('media').createSignedUploadUrl(path)
  if (error) throw error
  return data.token
}

export async function uploadWithTicket(supabase: Sentinel, path: string, token: string, file: File): Promise<void> {
  const media = supabase.storage.from('media')
  const { error } = await media.uploadToSignedUrl(path, token, file, { contentType: file.type })
  if (error) throw error
}

/** Remove a file that no request names. */
export async function discard(supabase: Sentinel, path: string): Promise<void> {
  const { error } = await supabase.storage.from('media').remove([path])
  if (error) throw error
}
