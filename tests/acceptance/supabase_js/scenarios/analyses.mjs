// Requests: asking, watching, evidence, batches, lists, and what an owner may do to them.
import * as frontend from 'sentinel'
import { check, equal, must, refused } from '../stage.mjs'

const later = '2100-01-01T00:00:00Z'

async function uploaded({ supabase, user }, file) {
  return await frontend.upload(supabase, frontend.pathFor(user, file), file)
}

export async function verdict(stage) {
  const owner = await stage.user()
  const storage_path = await uploaded(owner, await stage.file('bikes-tampered.mp4'))
  const id = crypto.randomUUID()
  const seen = []
  const end = frontend.finished(owner.supabase, id, { onRow: (row) => seen.push(row.status) })
  const asked = await frontend.submit(owner.supabase, { id, media_kind: 'video', storage_path })
  equal([asked.id, asked.status, asked.user_id], [id, 'queued', owner.user.id], 'the new row')
  const row = await end
  equal([row.status, row.verdict, row.progress], ['succeeded', 'fake', 100], 'the outcome')
  check(row.fake_probability > 0.5, `P(fake) is ${row.fake_probability}`)
  // A slow client may look only when it is all over, but never sees the row go back.
  const order = seen.map((status) => ['queued', 'running', 'succeeded'].indexOf(status))
  equal(order, [...order].sort(), 'the order of what was seen')
  equal(seen.at(-1), 'succeeded', 'what was seen last')

  const found = await frontend.evidence(owner.supabase, id)
  equal([found.verdict, found.request_id, found.is_current], ['fake', id, true], 'the evidence')
  check(found.timeline.length > 0 && found.timeline[0].end_seconds > 0, 'the timeline is empty')
  equal(Object.keys(found.urls).sort(), ['filmstrip', 'thumbnail', 'worst_frame', 'worst_frame_2', 'worst_frame_3'], 'the pictures')
  for (const url of Object.values(found.urls)) {
    const picture = await fetch(url)
    const kind = picture.headers.get('content-type')
    check(picture.ok && kind.startsWith('image/'), `a picture came with ${picture.status} as ${kind}`)
  }
  const film = await frontend.signedUrl(owner.supabase, 'media', storage_path)
  const part = await fetch(film, { headers: { Range: 'bytes=0-9' } })
  equal([part.status, (await part.arrayBuffer()).byteLength], [206, 10], 'a range of the film')
}

export async function poll(stage) {
  const owner = await stage.user()
  const storage_path = await uploaded(owner, await stage.file('bikes.mp4'))
  const { id } = await frontend.submit(owner.supabase, { storage_path })
  let clumsy = true
  const onRow = () => {
    if (!clumsy) return
    clumsy = false
    throw new Error('one look goes wrong, the next ones come all the same')
  }
  const row = await frontend.finished(owner.supabase, id, { onRow, pollSeconds: 0.5 })
  equal([row.status, row.verdict], ['succeeded', 'real'], 'the outcome')
}

export async function batch(stage) {
  const owner = await stage.user()
  const file = await stage.file('bikes.mp4')
  const paths = [await uploaded(owner, file), await uploaded(owner, file), `${owner.user.id}/missing.mp4`]
  const requested = paths.map((storage_path) => ({ storage_path }))
  const { batch_id, requests } = await frontend.submitBatch(owner.supabase, requested)
  equal(requests.length, 3, 'rows of the batch')
  const ended = new Map()
  await new Promise((resolve) => {
    const onRow = (row) => {
      if (row.finished_at) ended.set(row.id, row.status)
      if (ended.size < 3) return
      stop()
      resolve()
    }
    const stop = frontend.watch(owner.supabase, 'batch_id', batch_id, { onRow })
  })
  const counts = await frontend.batchProgress(owner.supabase, batch_id)
  equal(counts, { queued: 0, scheduled: 0, running: 0, succeeded: 2, failed: 1, cancelled: 0 }, 'the counts')

  const bad = [requested[0], { storage_path: '/etc/passwd' }]
  await refused(frontend.submitBatch(owner.supabase, bad), '23514')
  const { count } = await owner.supabase.from('analysis_requests').select('*', { count: 'exact', head: true })
  equal(count, 3, 'rows after a batch that was refused as a whole')
}

export async function lists(stage) {
  const { supabase, user } = await stage.user()
  const rows = Array.from({ length: 5 }, (_, place) => ({ storage_path: `${user.id}/${place}.mp4`, run_at: later }))
  must(await supabase.from('analysis_requests').insert(rows))
  const first = await frontend.listPage(supabase, 0, { size: 2 })
  const last = await frontend.listPage(supabase, 2, { size: 2 })
  equal([first.rows.length, first.pages, last.rows.length], [2, 3, 1], 'rows, pages, rows of the last page')
  equal([first.count, first.rows[0].result], [5, null], 'rows in all, the result of one that waits')
  const all = [...first.rows, ...(await frontend.listPage(supabase, 1, { size: 2 })).rows, ...last.rows]
  equal(new Set(all.map(({ id }) => id)).size, 5, 'different rows')
  await refused(frontend.listPage(supabase, 3, { size: 2 }), 'PGRST103')
  const open = supabase.from('analysis_requests').select('id', { count: 'exact' }).in('status', ['queued', 'scheduled'])
  equal((await open.gte('created_at', '2020-01-01').limit(1)).count, 5, 'the count of a filter')
  await severalResults(stage)
}

// `parameters.email` has one request, which succeeded three times, and one that failed.
async function severalResults(stage) {
  const { supabase } = await stage.signedIn({ email: stage.parameters.email, password: stage.parameters.password })
  const { rows } = await frontend.listPage(supabase, 0)
  const found = rows.map(({ status, result }) => [status, result?.fake_probability ?? null])
  equal(found, [['failed', null], ['succeeded', 0.75]], 'the current result of each row')
  const names = async (options) => (await frontend.listPage(supabase, 0, options)).rows.map((row) => row.original_name)
  equal(await names({ search: 'FRÄULEIN_' }), ['Fräulein_1.mp4'], 'what a search finds')
  equal(await names({ search: '%' }), ['100%.mp4'], 'what a search for a sign finds')
  equal(await names({ status: ['failed'], verdict: ['fake'] }), [], 'what two filters find')
  equal(await names({ verdict: ['fake'] }), ['Fräulein_1.mp4'], 'what a filter finds')
}

export async function cancel(stage) {
  const { supabase, user } = await stage.user()
  const { id, status } = await frontend.submit(supabase, { storage_path: `${user.id}/film.mp4`, run_at: later })
  equal(status, 'scheduled', 'the status before its time')
  const waits = { reason: 'scheduled', position: null, position_at_least: null, estimated_seconds: null }
  equal(await frontend.waitOf(supabase, id), waits, 'why it waits')
  equal(await frontend.cancel(supabase, id), 'cancelled', 'the first answer')
  equal(await frontend.cancel(supabase, id), 'cancelled', 'the second answer')
  const row = await frontend.finished(supabase, id)
  equal([row.status, row.verdict], ['cancelled', null], 'the row')
  equal(await frontend.cancel(supabase, crypto.randomUUID()), 'not_found', 'the answer for an unknown id')
}

export async function retry(stage) {
  const owner = await stage.user()
  const { supabase, user } = owner
  const storage_path = `${user.id}/film.mp4`
  const { id } = await frontend.submit(supabase, { storage_path })
  const failed = await frontend.finished(supabase, id)
  equal([failed.status, failed.error_code], ['failed', 'object_not_found'], 'the failure')
  check(failed.error_message.length > 10, `the sentence is "${failed.error_message}"`)

  await frontend.upload(supabase, storage_path, await stage.file('bikes.mp4'))
  equal(await frontend.retry(supabase, id), 'queued', 'the answer')
  const row = await frontend.finished(supabase, id)
  equal([row.status, row.verdict, row.error_code], ['succeeded', 'real', null], 'the second outcome')
  equal(await frontend.retry(supabase, id), 'succeeded', 'the answer for a success')
}

export async function remove(stage) {
  const owner = await stage.user()
  const { supabase, user } = owner
  const storage_path = await uploaded(owner, await stage.file('bikes.mp4'))
  const { id } = await frontend.submit(supabase, { storage_path })
  equal((await frontend.finished(supabase, id)).status, 'succeeded', 'the outcome')
  const { derived } = await frontend.evidence(supabase, id)
  const files = [['media', storage_path], ...Object.values(derived).map((path) => ['derived', path])]
  for (const [bucket, path] of files) must(await supabase.storage.from(bucket).info(path))

  // No poll comes within this test, and the reads at the channels' readiness are over before the deletion.
  const pollSeconds = 3600
  const waiting = crypto.randomUUID()
  let listed, followed
  const seen = Promise.all([new Promise((resolve) => (listed = resolve)), new Promise((resolve) => (followed = resolve))])
  const deletion = new Promise((resolve) => {
    const onRow = (row) => row.id === waiting && listed()
    const onGone = (gone) => (stop(), resolve(gone))
    const stop = frontend.watch(supabase, 'user_id', user.id, { onRow, onGone, pollSeconds })
  })
  const end = frontend.finished(supabase, waiting, { onRow: followed, pollSeconds })
  const watches = supabase.getChannels().filter(({ topic }) => topic.includes(user.id) || topic.includes(waiting))
  equal(watches.length, 2, 'channels')
  await Promise.all(watches.map(ready))
  await frontend.submit(supabase, { id: waiting, storage_path: `${user.id}/later.mp4`, run_at: later })
  await seen
  equal(await frontend.remove(supabase, waiting), 'deleted', 'deleting what waits')
  equal([await deletion, await end], [waiting, null], 'what is heard of a deletion')

  equal(await frontend.remove(supabase, id), 'deleted', 'the answer')
  equal(await frontend.remove(supabase, id), 'not_found', 'the second answer')
  equal(must(await supabase.from('analysis_requests').select('id')), [], 'rows')
  equal(must(await supabase.from('analysis_results').select('id')), [], 'results')
  for (const [bucket, path] of files) await gone(supabase.storage.from(bucket), path)
  equal(must(await supabase.storage.from('media').list(user.id)), [], 'files')
}

function ready(channel) {
  return new Promise((resolve) => {
    channel.on('system', {}, ({ extension, status }) => extension === 'postgres_changes' && status === 'ok' && resolve())
  })
}

// Workers remove files at their next sweep, and nothing tells a frontend: it would look again, too. It lists: what it
// asked of the file itself, a browser answers from its cache.
async function gone(bucket, path) {
  const cut = path.lastIndexOf('/')
  const isThere = async () => must(await bucket.list(path.slice(0, cut))).some(({ name }) => name === path.slice(cut + 1))
  while (await isThere()) await new Promise((resolve) => setTimeout(resolve, 100))
}
