// A frontend of sentinel-worker on unmodified supabase-js: one user asks for an analysis and watches its row,
// another user looks on and must see nothing. Prints one JSON object a line; exits 0 when all was as it should be.
//
// Environment: SUPABASE_URL, SUPABASE_KEY (publishable or anon), MEDIA_FILE (the film to upload),
// LIMIT_SECONDS (how long to wait for the verdict).
import { createClient } from '@supabase/supabase-js'
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import WebSocket from 'ws'

const { SUPABASE_URL, SUPABASE_KEY, MEDIA_FILE, LIMIT_SECONDS = '60' } = process.env
const say = (event, fields = {}) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')
const limit = setTimeout(() => fail('the time is over'), Number(LIMIT_SECONDS) * 1000)

function fail(reason) {
  say('failed', { reason: String(reason?.message ?? reason) })
  process.exit(1)
}

function must({ data, error }) {
  if (error) throw new Error(`${error.name ?? ''} ${error.code ?? ''} ${error.message}`)
  return data
}

function check(condition, sentence) {
  if (!condition) throw new Error(sentence)
}

const client = () =>
  createClient(SUPABASE_URL, SUPABASE_KEY, {
    auth: { persistSession: false, autoRefreshToken: false },
    realtime: { transport: WebSocket },
  })

// Resolves when changes really flow: SUBSCRIBED comes earlier.
function watch(supabase, requestId, onUpdate) {
  return new Promise((resolve, reject) => {
    const change = { event: 'UPDATE', schema: 'public', table: 'analysis_requests', filter: `id=eq.${requestId}` }
    supabase
      .channel(`request-${requestId}-${randomUUID()}`)
      .on('postgres_changes', change, (payload) => onUpdate(payload.new))
      .on('system', {}, (message) => {
        if (message.extension !== 'postgres_changes') return
        message.status === 'ok' ? resolve() : reject(new Error(message.message))
      })
      .subscribe((status, error) => {
        if (status === 'CHANNEL_ERROR' || status === 'TIMED_OUT') reject(error ?? new Error(status))
      })
  })
}

async function main() {
  const owner = client()
  const credentials = { email: `${randomUUID()}@example.com`, password: 'correct horse battery' }
  must(await owner.auth.signUp(credentials))
  must(await owner.auth.signOut())
  const { user } = must(await owner.auth.signInWithPassword(credentials))
  say('signed_in', { user: user.id })

  const stranger = client()
  must(await stranger.auth.signInAnonymously())

  const path = `${user.id}/${randomUUID()}-${basename(MEDIA_FILE)}`
  const film = await readFile(MEDIA_FILE)
  must(await owner.storage.from('media').upload(path, film, { contentType: 'video/mp4' }))
  const blob = must(await owner.storage.from('media').download(path))
  check(blob.size === film.length, `downloaded ${blob.size} of ${film.length} bytes`)
  say('uploaded', { path })

  const id = randomUUID()
  const seen = []
  const overheard = []
  let finished
  const verdict = new Promise((resolve) => (finished = resolve))
  await Promise.all([
    watch(owner, id, (row) => {
      seen.push(row.status)
      if (['succeeded', 'failed', 'cancelled'].includes(row.status)) finished(row)
    }),
    watch(stranger, id, (row) => overheard.push(row)),
  ])
  must(await owner.from('analysis_requests').insert({ id, media_kind: 'video', storage_path: path }))
  say('inserted', { id })
  // The row may have moved between the insertion and now: what was missed is read once.
  const current = must(await owner.from('analysis_requests').select('*').eq('id', id).single())
  if (current.status === 'succeeded') finished(current)

  const row = await verdict
  check(row.status === 'succeeded', `the request ended as ${row.status}: ${row.error_message}`)
  const result = must(
    await owner.from('analysis_results').select('*').eq('request_id', id).eq('is_current', true).single(),
  )
  check(result.verdict === row.verdict, `result ${result.verdict}, request ${row.verdict}`)
  const embedded = must(await owner.from('analysis_requests').select('id, analysis_results(verdict)').eq('id', id))
  check(embedded[0].analysis_results[0].verdict === row.verdict, 'the embedded result differs')

  const foreignRows = must(await stranger.from('analysis_requests').select('id').eq('id', id))
  const foreignResults = must(await stranger.from('analysis_results').select('id').eq('request_id', id))
  const foreignFile = await stranger.storage.from('media').download(path)
  const foreignList = must(await stranger.storage.from('media').list(user.id))
  check(foreignRows.length === 0 && foreignResults.length === 0, 'a stranger read the rows')
  check(foreignFile.error !== null && foreignList.length === 0, 'a stranger read the file')
  check(overheard.length === 0, 'a stranger heard of the row by Realtime')
  const signed = must(await owner.storage.from('media').createSignedUrl(path, 60))
  const part = await fetch(signed.signedUrl, { headers: { Range: 'bytes=0-9' } })
  check(part.status === 206 && (await part.arrayBuffer()).byteLength === 10, 'the signed URL gave no range')

  say('succeeded', { id, verdict: row.verdict, fake_probability: row.fake_probability, seen, timeline: result.timeline })
}

main().then(
  () => {
    clearTimeout(limit)
    process.exit(0)
  },
  (error) => fail(error),
)
