import type { AnalysisResult, Sentinel } from './client'
import type { Derived } from './json'

/** A current result, and signed URLs of its pictures by name. */
export type Evidence = AnalysisResult & { urls: { [Name in keyof Derived]?: string } }

export async function evidence(supabase: Sentinel, id: string): Promise<Evidence> {
  const { data, error } = await supabase
    .from('analysis_results').select().eq('request_id', id).eq('is_current', true).single()
  if (error) throw error
  const paths = Object.entries(data.derived ?? {}) as [keyof Derived, string][]
  const sign = async ([name, path]: (typeof paths)[number]) => [name, await signedUrl(supabase, 'derived', path)]
  return { ...data, urls: Object.fromEntries(await Promise.all(paths.map(sign))) as Evidence['urls'] }
}

/** A URL of a private file, valid for ten minutes. */
export async function signedUrl(supabase: Sentinel, bucket: 'media' | 'derived', path: string): Promise<string> {
  const { data, error } = await supabase.storage.from(bucket).createSignedUrl(path, 600)
  if (error) throw error
  return data.signedUrl
}
