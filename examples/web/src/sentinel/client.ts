import { createClient, type SupabaseClient, type SupabaseClientOptions } from '@supabase/supabase-js'
import type { Database } from './schema'

/** supabase-js that knows the tables and functions of the analyses. */
export type Sentinel = SupabaseClient<Database>

export const connect = (url: string, publishableKey: string, options?: SupabaseClientOptions<'public'>): Sentinel =>
  createClient<Database>(url, publishableKey, options)

/** A row of `analysis_requests`. */
export type AnalysisRequest = Database['public']['Tables']['analysis_requests']['Row']

/** The columns that a user may write into a new row. */
export type RequestInput = Database['public']['Tables']['analysis_requests']['Insert']
type Source = 'storage_path' | 'source_url'
/** The same, with exactly one of the two sources. */
export type NewRequest = Omit<RequestInput, Source> &
  ({ storage_path: string; source_url?: never } | { source_url: string; storage_path?: never })

/** A row of `analysis_results`. */
export type AnalysisResult = Database['public']['Tables']['analysis_results']['Row']
