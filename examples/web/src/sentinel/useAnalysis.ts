import { createContext, useContext, useEffect, useState } from 'react'
import type { AnalysisRequest, Sentinel } from './client'
import { evidence, type Evidence } from './evidence'
import { watch } from './watch'

/** The client of the components below: `<SentinelContext value={connect(url, key)}>`. */
export const SentinelContext = createContext<Sentinel | null>(null)

export function useSentinel(): Sentinel {
  const supabase = useContext(SentinelContext)
  if (!supabase) throw new Error('no client: put <SentinelContext value={…}> around this component')
  return supabase
}

export interface Analysis {
  /** The row as it is now; null until it was read. */
  request: AnalysisRequest | null
  /** The current result, once the request has succeeded. */
  evidence: Evidence | null
  /** True once the row was deleted. */
  gone: boolean
  /** The last read that failed; null again after one that did not. */
  error: Error | null
}

const NOTHING: Analysis = { request: null, evidence: null, gone: false, error: null }

/** Follow one analysis: the row as it changes, and its evidence at the end. */
export function useAnalysis(id: string): Analysis {
  const supabase = useSentinel()
  const [seen, setSeen] = useState({ id, ...NOTHING })
  useEffect(() => {
    let fence: string | null = null
    let watching = true
    const show = (news: Partial<Analysis>) => {
      if (watching) setSeen((before) => ({ ...(before.id === id ? before : NOTHING), ...news, id }))
    }
    const failed = (error: unknown) => show({ error: error instanceof Error ? error : new Error(String(error)) })
    const read = async (row: AnalysisRequest) => {
      const found = await evidence(supabase, id)
      if (fence === row.fence) show({ evidence: found, error: null })
    }
    const onRow = (row: AnalysisRequest) => {
      // The fence is renewed by every change of status.
      const changed = fence !== row.fence
      fence = row.fence
      show({ request: row, gone: false, error: null, ...(changed && { evidence: null }) })
      if (!changed || row.status !== 'succeeded') return
      read(row).catch((error: unknown) => {
        fence = null
        failed(error)
      })
    }
    const stop = watch(supabase, 'id', id, { onRow, onGone: () => show({ ...NOTHING, gone: true }), onError: failed })
    return () => {
      watching = false
      stop()
    }
  }, [supabase, id])
  const { request, evidence: found, gone, error } = seen.id === id ? seen : NOTHING
  return { request, evidence: found, gone, error }
}
