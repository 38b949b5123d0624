import type { AnalysisRequest, AnalysisResult, NewRequest, RequestInput, Sentinel } from './client'
import type { Status, Verdict } from './schema'
import { discard, pathFor, upload, type UploadOptions } from './uploads'

/** Insert a request; the file of `storage_path` has to be there. */
export async function submit(supabase: Sentinel, request: NewRequest): Promise<AnalysisRequest> {
  const row: RequestInput = request
  const { data, error } = await supabase.from('analysis_requests').insert(row).select().single()
  if (error) throw error
  return data
}

/** The name of a file as the database keeps it: at most 255 characters. */
export const originalName = (file: { name: string }): string | null => {
  // Without halves of characters, which JSON cannot carry; the end has the extension.
  const characters = Array.from(file.name, (one) => (/\p{Cs}/u.test(one) ? '\uFFFD' : one))
  return characters.slice(-255).join('') || null
}

/** Upload a file and ask for its analysis. If the request is refused, the file is removed again. */
export async function submitFile(
  supabase: Sentinel,
  file: File,
  { onProgress, signal, ...request }: UploadOptions & Omit<NewRequest, 'storage_path' | 'source_url'> = {},
): Promise<AnalysisRequest> {
  const { data, error } = await supabase.auth.getUser()
  if (error) throw error
  const options = { ...(onProgress && { onProgress }), ...(signal && { signal }) }
  const storage_path = await upload(supabase, pathFor(data.user, file), file, options)
  try {
    return await submit(supabase, { original_name: originalName(file), ...request, storage_path })
  } catch (refusal) {
    // Without a code the answer was lost, and the row may be there.
    if ((refusal as { code?: string }).code) await discard(supabase, storage_path)
    throw refusal
  }
}

/** Why a request waits, and for how long. */
export async function waitOf(supabase: Sentinel, id: string) {
  const { data, error } = await supabase.rpc('analysis_wait', { id }).single()
  if (error) throw error
  return data
}

export interface Batch {
  batch_id: string
  requests: AnalysisRequest[]
}

/** Insert all requests of a batch; they are accepted or refused as a whole. */
export async function submitBatch(supabase: Sentinel, requests: NewRequest[]): Promise<Batch> {
  const batch_id = crypto.randomUUID()
  const rows = requests.map((request): RequestInput => ({ ...request, batch_id }))
  const { data, error } = await supabase.from('analysis_requests').insert(rows).select()
  if (error) throw error
  return { batch_id, requests: data }
}

export const STATUSES = ['queued', 'scheduled', 'running', 'succeeded', 'failed', 'cancelled'] as const

/** Numbers of a batch's requests by status. */
export async function batchProgress(supabase: Sentinel, batch_id: string): Promise<Record<Status, number>> {
  const count = async (status: Status) => {
    const rows = supabase.from('analysis_requests').select('*', { count: 'exact', head: true })
    const { count, error } = await rows.eq('batch_id', batch_id).eq('status', status)
    if (error) throw error
    return [status, count ?? 0] as const
  }
  return Object.fromEntries(await Promise.all(STATUSES.map(count))) as Record<Status, number>
}

export interface ListOptions {
  size?: number
  status?: Status[]
  verdict?: Verdict[]
  /** A part of the original file name. */
  search?: string
  batch_id?: string
}

/** A request with its current result, as far as a list shows it. */
export type ListedRequest = AnalysisRequest & {
  result: Pick<AnalysisResult, 'verdict' | 'fake_probability' | 'derived'> | null
}

/** One page of the user's requests, newest first; pages are counted from 0. */
export async function listPage(
  supabase: Sentinel, number: number, { size = 20, status, verdict, search, batch_id }: ListOptions = {},
): Promise<{ rows: ListedRequest[]; pages: number; count: number }> {
  let found = supabase
    .from('analysis_requests')
    .select('*, analysis_results(verdict, fake_probability, derived)', { count: 'exact' })
    .eq('analysis_results.is_current', true)
  if (status) found = found.in('status', status)
  if (verdict) found = found.in('verdict', verdict)
  if (search) found = found.ilike('original_name', `%${search.replace(/[\\%_]/g, '\\$&')}%`)
  if (batch_id) found = found.eq('batch_id', batch_id)
  const page = found.order('created_at', { ascending: false }).order('id')
  const { data, count, error } = await page.range(number * size, number * size + size - 1)
  if (error) throw error
  const rows = data.map(({ analysis_results: [result], ...row }) => ({ ...row, result: result ?? null }))
  return { rows, pages: Math.ceil((count ?? 0) / size), count: count ?? 0 }
}

export async function cancel(supabase: Sentinel, id: string) {
  const { data, error } = await supabase.rpc('cancel_analysis', { id })
  if (error) throw error
  return data
}

export async function retry(supabase: Sentinel, id: string) {
  const { data, error } = await supabase.rpc('retry_analysis', { id })
  if (error) throw error
  return data
}

export async function remove(supabase: Sentinel, id: string) {
  const { data, error } = await supabase.rpc('delete_analysis', { id })
  if (error) throw error
  return data
}
