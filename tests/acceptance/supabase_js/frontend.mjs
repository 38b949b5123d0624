import { createClient } from '@supabase/supabase-js'
import * as tus from 'tus-js-client'

export const connect = (url, publishableKey, options) => createClient(url, publishableKey, options)

export const pathFor = (user, file) =>
  `${user.id}/${crypto.randomUUID()}-${file.name.replace(/[^A-Za-z0-9._-]+/g, '_')}`

export async function upload(supabase, path, file) {
  const { error } = await supabase.storage.from('media').upload(path, file, { contentType: file.type })
  if (error) throw error
  return path
}

export function uploadLarge(supabase, supabaseUrl, path, file, { onProgress = () => {}, signal } = {}) {
  const [user] = path.split('/')
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const transfer = new tus.Upload(file, {
      endpoint: `${supabaseUrl}/storage/v1/upload/resumable`,
      chunkSize: 6 * 1024 * 1024,
      retryDelays: [0, 1000, 3000, 5000, 10000],
      uploadDataDuringCreation: true,
      removeFingerprintOnSuccess: true,
      metadata: { bucketName: 'media', objectName: path, contentType: file.type },
      onBeforeRequest: async (request) => {
        const { data } = await supabase.auth.getSession()
        request.setHeader('Authorization', `Bearer ${data.session.access_token}`)
      },
      onProgress: (sent, total) => onProgress(sent / total),
      onSuccess: () => resolve(path),
      onError: reject,
    })
    signal?.addEventListener('abort', () => transfer.abort().then(() => reject(signal.reason), reject))
    transfer.findPreviousUploads().then((unfinished) => {
      const mine = unfinished.find(({ metadata }) => metadata.objectName.startsWith(`${user}/`))
      if (mine) {
        // Also where the server has forgotten it, and it is created anew.
        path = transfer.options.metadata.objectName = mine.metadata.objectName
        transfer.resumeFromPreviousUpload(mine)
      }
      if (!signal?.aborted) transfer.start()
    }, reject)
  })
}

export async function uploadTicket(supabase, path) {
  const { data, error } = await supabase.storage.from('media').createSignedUploadUrl(path)
  if (error) throw error
  return data.token
}

export async function uploadWithTicket(supabase, path, token, file) {
  const { error } = await supabase.storage.from('media').uploadToSignedUrl(path, token, file, { contentType: file.type })
  if (error) throw error
}

export async function ask(supabase, request) {
  const { data, error } = await supabase.from('analysis_requests').insert(request).select().single()
  if (error) throw error
  return data
}

export async function discard(supabase, path) {
  const { error } = await supabase.storage.from('media').remove([path])
  if (error) throw error
}

const FINAL = ['succeeded', 'failed', 'cancelled']

export function watch(supabase, column, value, onRow, pollSeconds = 15, onError = console.error) {
  let [watching, last] = [true, Promise.resolve()]
  const look = (name, wanted) => {
    last = last.then(async () => {
      const found = supabase.from('analysis_requests').select().eq(name, wanted)
      const { data, error } = await found.abortSignal(AbortSignal.timeout(10_000))
      if (error) throw error
      if (watching) data.forEach(onRow)
    }).catch(onError)
  }
  const lookAtAll = () => look(column, value)
  const change = { event: 'UPDATE', schema: 'public', table: 'analysis_requests', filter: `${column}=eq.${value}` }
  const channel = supabase
    .channel(`${column}-${value}-${crypto.randomUUID()}`)
    .on('postgres_changes', change, ({ new: row }) => look('id', row.id))
    .on('system', {}, ({ extension, status }) => extension === 'postgres_changes' && status === 'ok' && lookAtAll())
    .subscribe()
  const timer = setInterval(lookAtAll, pollSeconds * 1000)
  lookAtAll()
  return () => {
    watching = false
    clearInterval(timer)
    supabase.removeChannel(channel)
  }
}

export function finished(supabase, id, onRow = () => {}, pollSeconds = 15, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const see = (row) => {
      onRow(row)
      if (!FINAL.includes(row.status)) return
      stop()
      resolve(row)
    }
    const stop = watch(supabase, 'id', id, see, pollSeconds)
    signal?.addEventListener('abort', () => {
      stop()
      reject(signal.reason)
    })
  })
}

export async function waitOf(supabase, id) {
  const { data, error } = await supabase.rpc('analysis_wait', { id }).single()
  if (error) throw error
  return data
}

export async function evidence(supabase, id) {
  const { data, error } = await supabase
    .from('analysis_results').select().eq('request_id', id).eq('is_current', true).single()
  if (error) throw error
  const urls = {}
  for (const [name, path] of Object.entries(data.derived ?? {})) urls[name] = await signedUrl(supabase, 'derived', path)
  return { ...data, urls }
}

export async function signedUrl(supabase, bucket, path) {
  const { data, error } = await supabase.storage.from(bucket).createSignedUrl(path, 600)
  if (error) throw error
  return data.signedUrl
}

export async function askBatch(supabase, paths) {
  const batch_id = crypto.randomUUID()
  const rows = paths.map((storage_path) => ({ storage_path, batch_id }))
  const { data, error } = await supabase.from('analysis_requests').insert(rows).select()
  if (error) throw error
  return { batch_id, requests: data }
}

export async function batchProgress(supabase, batch_id) {
  const counts = {}
  for (const status of ['queued', 'scheduled', 'running', ...FINAL]) {
    const rows = supabase.from('analysis_requests').select('*', { count: 'exact', head: true })
    const { count, error } = await rows.eq('batch_id', batch_id).eq('status', status)
    if (error) throw error
    counts[status] = count
  }
  return counts
}

export async function listPage(supabase, number, size = 20) {
  const { data, count, error } = await supabase
    .from('analysis_requests')
    .select('*, analysis_results(verdict, fake_probability, derived)', { count: 'exact' })
    .order('created_at', { ascending: false })
    .order('id')
    .range(number * size, number * size + size - 1)
  if (error) throw error
  return { rows: data, pages: Math.ceil(count / size) }
}

const call = async (supabase, name, id) => {
  const { data, error } = await supabase.rpc(name, { id })
  if (error) throw error
  return data
}
export const cancel = (supabase, id) => call(supabase, 'cancel_analysis', id)
export const retry = (supabase, id) => call(supabase, 'retry_analysis', id)
export const remove = (supabase, id) => call(supabase, 'delete_analysis', id)

export function quotaRefusal(error) {
  if (error?.code !== 'PT429') return null
  const { quota, limit, used } = JSON.parse(error.details)
  return { message: error.message, hint: error.hint, quota, limit, used }
}

export async function quota(supabase) {
  const { data, error } = await supabase.rpc('analysis_quota').single()
  if (error) throw error
  return data
}
