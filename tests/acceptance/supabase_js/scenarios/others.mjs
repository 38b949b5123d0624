// What others can see, and what becomes of a subscription when its token ends.
import * as frontend from 'sentinel'
import { equal, must, refused } from '../stage.mjs'

const later = '2100-01-01T00:00:00Z'

// Resolves when changes flow: SUBSCRIBED comes earlier. `ended` hears when the server closes the channel.
function listening(supabase, event, hear, ended = () => {}) {
  return new Promise((resolve, reject) => {
    supabase
      .channel(crypto.randomUUID())
      .on('postgres_changes', { event, schema: 'public', table: 'analysis_requests' }, hear)
      .on('system', {}, ({ extension, status, message }) => {
        if (extension !== 'postgres_changes') return
        if (status === 'ok') resolve()
        else reject(new Error(message))
      })
      .subscribe((status, error) => {
        if (status === 'CLOSED') ended()
        if (status === 'CHANNEL_ERROR' || status === 'TIMED_OUT') reject(error ?? new Error(status))
      })
  })
}

export async function privacy(stage) {
  const owner = await stage.user()
  const stranger = await stage.user()
  const nobody = stage.client()
  const id = crypto.randomUUID()
  const overheard = []
  let deleted
  const deletion = new Promise((resolve) => (deleted = resolve))
  await listening(stranger.supabase, '*', (change) => {
    if (change.eventType !== 'DELETE') overheard.push(change)
    else if (change.old.id === id) deleted(change)
  })
  let told
  const rumour = new Promise((resolve) => (told = resolve))
  await listening(nobody, 'INSERT', told)

  const file = await stage.file('bikes.mp4')
  const path = await frontend.upload(owner.supabase, frontend.pathFor(owner.user, file), file)
  await frontend.submit(owner.supabase, { id, storage_path: path, run_at: later })
  const { supabase } = stranger
  equal(must(await supabase.from('analysis_requests').select()), [], 'rows of a stranger')
  equal(must(await supabase.from('analysis_results').select()), [], 'results of a stranger')
  equal(must(await supabase.storage.from('media').list(owner.user.id)), [], 'files of a stranger')
  equal(await frontend.cancel(supabase, id), 'not_found', 'cancelling')
  equal(await frontend.retry(supabase, id), 'not_found', 'running again')
  equal(await frontend.remove(supabase, id), 'not_found', 'deleting')
  await refused(supabase.storage.from('media').download(path), '404', 'statusCode')
  await refused(frontend.signedUrl(supabase, 'media', path), '404', 'statusCode')
  await refused(frontend.uploadTicket(supabase, path), '403', 'statusCode')
  equal(must(await supabase.storage.from('media').remove([path])), [], 'files that a stranger removed')
  await refused(nobody.from('analysis_requests').select(), '42501')
  await refused(nobody.storage.from('media').download(path), '404', 'statusCode')

  equal(await frontend.remove(owner.supabase, id), 'deleted', 'the owner deletes')
  equal((await deletion).old, { id }, 'what a stranger hears of a deletion')
  equal(overheard, [], 'what a stranger hears besides')
  const heard = await rumour
  equal([heard.new, heard.old, heard.errors], [{}, {}, ['Error 401: Unauthorized']], 'what somebody without a session hears')
}

// `parameters.email` signs in to an account, and `parameters.token` is its token, which ends in a few seconds.
export async function token_refresh(stage) {
  const { email, password, token } = stage.parameters
  const [keeper, lapser] = [await stage.signedIn({ email, password }), await stage.signedIn({ email, password })]
  const { id } = await frontend.submit(keeper.supabase, { storage_path: `${keeper.user.id}/film.mp4`, run_at: later })
  let changed
  const change = new Promise((resolve) => (changed = resolve))
  let closed
  const end = new Promise((resolve) => (closed = resolve))
  for (const { supabase } of [keeper, lapser]) await supabase.realtime.setAuth(token)
  const overheard = []
  await Promise.all([
    listening(keeper.supabase, 'UPDATE', changed, () => changed(new Error('closed'))),
    listening(lapser.supabase, 'UPDATE', (late) => overheard.push(late), closed),
  ])
  // Within the same second a token without news would be the same token.
  must(await keeper.supabase.auth.updateUser({ data: { news: true } }))
  must(await keeper.supabase.auth.refreshSession())
  await end
  equal(await frontend.cancel(keeper.supabase, id), 'cancelled', 'the change')
  equal((await change).new?.status, 'cancelled', 'what is heard after the first token ended')
  equal(overheard, [], 'what is heard with a token that ended')
}
