// Quotas and the codes of errors.
import * as frontend from 'sentinel'
import { check, equal, must, refused } from '../stage.mjs'

const later = '2100-01-01T00:00:00Z'

// The operator allows two open requests, three in an hour, 1,000 bytes and one retry.
export async function quotas(stage) {
  const { supabase, user } = await stage.user()
  const ask = () => frontend.submit(supabase, { storage_path: `${user.id}/film.mp4`, run_at: later })
  const { id } = await ask()
  await ask()
  const open = frontend.quotaRefusal(await refused(ask(), 'PT429'))
  equal([open.quota, open.limit, open.used], ['open_requests', 2, 2], 'what is refused')
  check(open.message.length > 10 && open.hint.length > 10, `the sentences are "${open.message}" and "${open.hint}"`)
  equal(frontend.quotaRefusal(null), null, 'no refusal')

  equal(await frontend.cancel(supabase, id), 'cancelled', 'cancelling one')
  equal(await frontend.retry(supabase, id), 'queued', 'running it again')
  equal((await frontend.finished(supabase, id)).status, 'failed', 'the outcome without a film')
  equal(frontend.quotaRefusal(await refused(frontend.retry(supabase, id), 'PT429')).quota, 'retries_per_hour', 'the quota')
  await ask()
  equal(await frontend.remove(supabase, id), 'deleted', 'deleting one')
  for (const row of must(await supabase.from('analysis_requests').select('id'))) await frontend.cancel(supabase, row.id)
  equal(frontend.quotaRefusal(await refused(ask(), 'PT429')).quota, 'requests_per_hour', 'the quota')

  const file = await stage.file('bikes.mp4')
  await frontend.upload(supabase, frontend.pathFor(user, file), file)
  await refused(frontend.upload(supabase, frontend.pathFor(user, file), file), '403', 'statusCode')
  const used = await frontend.quota(supabase)
  equal([used.open_requests, used.max_open_requests], [0, 2], 'open requests')
  equal([used.requests_last_hour, used.max_requests_per_hour], [3, 3], 'requests in an hour')
  equal([used.retries_last_hour, used.max_retries_per_hour], [1, 1], 'retries in an hour')
  equal([used.stored_bytes, used.max_stored_bytes], [file.size, 1000], 'stored bytes')
}

export async function errors(stage) {
  const { supabase, user } = await stage.user()
  const requests = supabase.from('analysis_requests')
  const good = { storage_path: `${user.id}/film.mp4`, run_at: later }
  const { id } = await frontend.submit(supabase, { ...good, dedupe_key: 'one' })
  const table = [
    [{ ...good, id }, '23505', 409],
    [{ ...good, dedupe_key: 'one' }, '23505', 409],
    [{ ...good, storage_path: `${crypto.randomUUID()}/film.mp4` }, '23514', 400],
    [{ ...good, storage_path: `${user.id}/../film.mp4` }, '23514', 400],
    [{ ...good, source_url: 'https://example.com/film.mp4' }, '23514', 400],
    [{ ...good, id: 'one' }, '22P02', 400],
    [{ ...good, run_at: 'tomorrow morning' }, '22007', 400],
    [{ ...good, status: 'succeeded' }, '42501', 403],
    [{ ...good, user_id: crypto.randomUUID() }, '42501', 403],
    [{ ...good, colour: 'blue' }, 'PGRST204', 400],
  ]
  for (const [row, code, status] of table) {
    const answer = await requests.insert(row)
    equal([answer.error?.code, answer.status], [code, status], `inserting ${JSON.stringify(row)}`)
  }
  await refused(requests.update({ status: 'queued' }).eq('id', id), '42501')
  await refused(requests.delete().eq('id', id), '42501')
  await refused(supabase.rpc('sentinel_claim', { args: {} }), '42501')
  await refused(requests.select().eq('id', crypto.randomUUID()).single(), 'PGRST116')
  await frontend.submit(supabase, good)
  await refused(requests.select().single(), 'PGRST116')

  const nobody = await stage.client().from('analysis_requests').insert(good)
  equal([nobody.error.code, nobody.status], ['42501', 401], 'inserting without a session')
  for (const [token, code] of [['a.b.c', 'PGRST301'], [stage.parameters.expired_token, 'PGRST303']]) {
    const answer = await stage.client(stage.key, { accessToken: async () => token }).from('analysis_requests').select()
    equal([answer.error.code, answer.status], [code, 401], 'a token that proves nothing')
  }
  await files(stage, supabase, user)
}

async function files(stage, supabase, user) {
  const media = supabase.storage.from('media')
  const file = await stage.file('bikes.mp4')
  await refused(media.download(`${user.id}/none.mp4`), '404', 'statusCode')
  await refused(media.createSignedUrl(`${user.id}/none.mp4`, 60), '404', 'statusCode')
  await refused(media.upload(`${crypto.randomUUID()}/film.mp4`, file), '403', 'statusCode')
  await refused(supabase.storage.from('derived').upload(`${user.id}/film.mp4`, file), '403', 'statusCode')
  const odd = await refused(media.upload(`${user.id}/Fräulein.mp4`, file), '400', 'statusCode')
  check(odd.message.startsWith('Invalid key'), odd.message)
}
