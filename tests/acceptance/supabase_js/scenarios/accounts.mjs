// Signing up, in and out; sessions; what a server's key may do to users.
import { connect } from 'sentinel'
import { check, equal, must, refused } from '../stage.mjs'

export async function sign_in(stage) {
  const { supabase, user, credentials } = await stage.user()
  must(await supabase.auth.signOut())
  equal((await supabase.auth.getSession()).data.session, null, 'the session after signing out')
  const again = must(await supabase.auth.signInWithPassword(credentials))
  equal(again.user.id, user.id, 'the user who signs in again')
  equal(must(await supabase.auth.getUser()).user.email, credentials.email, 'the address')

  const weak = await refused(stage.client().auth.signUp({ ...credentials, password: 'abc' }), 'weak_password')
  equal(weak.reasons, ['length'], 'the reasons')
  await refused(stage.client().auth.signUp(credentials), 'user_already_exists')
  await refused(stage.client().auth.signUp({ ...credentials, email: 'nobody' }), 'validation_failed')
  const wrong = { ...credentials, password: 'wrong horse' }
  await refused(stage.client().auth.signInWithPassword(wrong), 'invalid_credentials')
}

export async function anonymous(stage) {
  const supabase = stage.client()
  const { user } = must(await supabase.auth.signInAnonymously({ options: { data: { name: 'Ada' } } }))
  check(user.is_anonymous, 'the visitor is not anonymous')
  const row = { storage_path: `${user.id}/film.mp4`, run_at: '2100-01-01' }
  must(await supabase.from('analysis_requests').insert(row))

  const taken = await stage.user()
  await refused(supabase.auth.updateUser({ email: taken.credentials.email, password: 'correct horse' }), 'email_exists')
  await refused(supabase.auth.updateUser({ password: 'correct horse' }), 'validation_failed')
  const credentials = { email: `${crypto.randomUUID()}@example.com`, password: 'correct horse' }
  const changed = must(await supabase.auth.updateUser(credentials)).user
  equal([changed.id, changed.is_anonymous], [user.id, false], 'the permanent user')
  await refused(supabase.auth.updateUser({ password: credentials.password }), 'same_password')
  const named = must(await supabase.auth.updateUser({ data: { name: null, rank: 1 } })).user.user_metadata
  equal([named.name, named.rank], [undefined, 1], 'the metadata')

  const back = await stage.signedIn(credentials)
  equal(must(await back.supabase.from('analysis_requests').select('id')).length, 1, 'requests after signing in again')
}

export async function sessions(stage) {
  const { supabase, credentials } = await stage.user()
  const first = must(await supabase.auth.getSession()).session
  const second = must(await supabase.auth.refreshSession()).session
  check(first.refresh_token !== second.refresh_token, 'the refresh token was not rotated')
  const repeated = must(await supabase.auth.refreshSession({ refresh_token: first.refresh_token })).session
  equal(repeated.refresh_token, second.refresh_token, 'the token after a lost answer')
  await refused(stage.client().auth.refreshSession({ refresh_token: 'nonsense' }), 'refresh_token_not_found')

  const elsewhere = await stage.signedIn(credentials)
  must(await supabase.auth.signOut({ scope: 'others' }))
  equal(must(await supabase.auth.getUser()).user.email, credentials.email, 'the session that stays')
  await refused(elsewhere.supabase.auth.getUser(), 'AuthSessionMissingError', 'name')
  const { refresh_token } = elsewhere.session
  await refused(stage.client().auth.refreshSession({ refresh_token }), 'refresh_token_not_found')

  const third = await stage.signedIn(credentials)
  must(await third.supabase.auth.signOut({ scope: 'local' }))
  equal(must(await supabase.auth.getUser()).user.email, credentials.email, 'another session after a local sign-out')
  must(await supabase.auth.signOut())
  await refused(stage.client().auth.getUser(second.access_token), 'AuthSessionMissingError', 'name')
  await refused(stage.client().auth.getUser('nonsense'), 'bad_jwt')
}

export async function administration(stage) {
  const server = connect(stage.url, stage.secretKey, { auth: { persistSession: false, autoRefreshToken: false } })
  const admin = server.auth.admin
  const credentials = { email: `${crypto.randomUUID()}@example.com`, password: 'correct horse' }
  const { user } = must(await admin.createUser({ ...credentials, email_confirm: true, user_metadata: { name: 'Ada' } }))
  equal(must(await admin.getUserById(user.id)).user.user_metadata.name, 'Ada', 'the name')
  const listed = must(await admin.listUsers({ page: 1, perPage: 1 }))
  equal(listed.users[0].id, user.id, 'the newest user')
  check(listed.total >= 1 && listed.lastPage >= 1, `${listed.total} users on ${listed.lastPage} pages`)
  await refused(admin.createUser(credentials), 'email_exists')
  await refused(admin.createUser({}), 'validation_failed')

  const person = await stage.signedIn(credentials)
  const changed = must(await admin.updateUserById(user.id, { app_metadata: { team: 'blue' } })).user
  equal(changed.app_metadata.team, 'blue', 'the team')
  await refused(person.supabase.auth.admin.listUsers(), 'not_admin')
  const row = { storage_path: `${user.id}/film.mp4`, run_at: '2100-01-01' }
  const { id } = must(await person.supabase.from('analysis_requests').insert(row).select().single())
  await refused(server.from('analysis_requests').update({ status: 'running' }).eq('id', id), 'PT409')

  must(await admin.deleteUser(user.id))
  await refused(admin.getUserById(user.id), 'user_not_found')
  await refused(person.supabase.auth.getUser(), 'user_not_found')
  equal(must(await server.from('analysis_requests').select('id').eq('user_id', user.id)), [], 'rows of a deleted user')
}
