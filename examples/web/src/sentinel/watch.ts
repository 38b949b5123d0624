import type { AnalysisRequest, Sentinel } from './client'

export interface WatchOptions {
  /** Gets each row as it is, also rows that are new; the same row may come twice. */
  onRow: (row: AnalysisRequest) => void
  /** Gets the id of a row that was deleted, once. */
  onGone?: (id: string) => void
  /** Gets failed reads and exceptions of the functions above; watching continues. */
  onError?: (error: unknown) => void
  pollSeconds?: number
}

/** Follow one request (`id`), a batch (`batch_id`) or all requests of a user; returns a function that stops it. */
export function watch(
  supabase: Sentinel,
  column: 'id' | 'batch_id' | 'user_id',
  value: string,
  { onRow, onGone = () => undefined, onError = console.error, pollSeconds = 15 }: WatchOptions,
): () => void {
  const known = new Set<string>()
  let watching = true
  let last = Promise.resolve()
  const inTurn = (step: () => Promise<void>) => {
    last = last.then(() => (watching ? step() : undefined)).catch(onError)
  }
  const read = async (name: 'id' | 'batch_id' | 'user_id', wanted: string[]) => {
    const found = supabase.from('analysis_requests').select().in(name, wanted)
    const { data, error } = await found.abortSignal(AbortSignal.timeout(10_000))
    if (error) throw error
    if (!watching) return data
    for (const row of data) {
      known.add(row.id)
      onRow(row)
    }
    return data
  }
  const readEach = async (ids: string[]) => {
    const there = new Set((await read('id', ids)).map(({ id }) => id))
    for (const id of ids) if (watching && !there.has(id) && known.delete(id)) onGone(id)
  }
  const look = (id: string) => inTurn(() => readEach([id]))
  const lookAtAll = () =>
    inTurn(async () => {
      const there = new Set((await read(column, [value])).map(({ id }) => id))
      // A long list comes in part: what is missing in it may be there.
      const missing = [...known].filter((id) => !there.has(id)).slice(0, 100)
      if (missing.length) await readEach(missing)
    })
  const listen = () => {
    const rows = { schema: 'public', table: 'analysis_requests' }
    const mine = { ...rows, filter: `${column}=eq.${value}` }
    return supabase
      .channel(`${column}-${value}-${crypto.randomUUID()}`)
      .on<AnalysisRequest>('postgres_changes', { event: 'INSERT', ...mine }, (change) => look(change.new.id))
      .on<AnalysisRequest>('postgres_changes', { event: 'UPDATE', ...mine }, (change) => look(change.new.id))
      // Deletions come without a filter, and with the id only.
      .on<AnalysisRequest>('postgres_changes', { event: 'DELETE', ...rows }, ({ old: { id } }) => {
        if (!id) return
        if (column === 'id' && id === value) known.add(id)
        if (known.has(id)) look(id)
      })
      .on('system', {}, ({ extension, status }: { extension: string; status: string }) => {
        if (extension === 'postgres_changes' && status === 'ok') lookAtAll()
      })
      .subscribe()
  }
  let channel = listen()
  const timer = setInterval(() => {
    // The server closed it for good, for example because its token expired while the machine slept.
    if (channel.state === 'closed') channel = listen()
    lookAtAll()
  }, pollSeconds * 1000)
  lookAtAll()
  return () => {
    watching = false
    clearInterval(timer)
    void supabase.removeChannel(channel)
  }
}

export interface FinishedOptions {
  onRow?: (row: AnalysisRequest) => void
  pollSeconds?: number
  signal?: AbortSignal
}

export const isFinal = ({ status }: AnalysisRequest): boolean =>
  status === 'succeeded' || status === 'failed' || status === 'cancelled'

/** Wait for the end of a request: its row, or null if it was deleted. */
export function finished(
  supabase: Sentinel, id: string, { onRow, pollSeconds = 15, signal }: FinishedOptions = {},
): Promise<AnalysisRequest | null> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const end = (row: AnalysisRequest | null) => {
      stop()
      resolve(row)
    }
    const see = (row: AnalysisRequest) => {
      try {
        onRow?.(row)
      } finally {
        if (isFinal(row)) end(row)
      }
    }
    const stop = watch(supabase, 'id', id, { onRow: see, onGone: () => end(null), pollSeconds })
    signal?.addEventListener('abort', () => {
      stop()
      reject(signal.reason as Error)
    })
  })
}
