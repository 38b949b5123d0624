import type { Sentinel } from './client'

/** The caller's use of each quota, and the limits. */
export async function quota(supabase: Sentinel) {
  const { data, error } = await supabase.rpc('analysis_quota').single()
  if (error) throw error
  return data
}

export interface QuotaRefusal {
  /** Sentences for the user: what is exceeded, and what to do. */
  message: string
  hint: string
  /** For a frontend that translates them. */
  quota: 'open_requests' | 'requests_per_hour' | 'compute_seconds_per_hour' | 'stored_bytes' | 'retries_per_hour'
  limit: number
  used: number
}

/** What an error says about a quota; null if it is about something else. */
export function quotaRefusal(error: unknown): QuotaRefusal | null {
  if (!(error instanceof Object && 'code' in error && error.code === 'PT429')) return null
  const { message, hint, details } = error as unknown as Record<'message' | 'hint' | 'details', string>
  return { message, hint, ...(JSON.parse(details) as Pick<QuotaRefusal, 'quota' | 'limit' | 'used'>) }
}
