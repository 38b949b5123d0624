// The three ways by which a film gets into the bucket.
import * as tus from 'tus-js-client'
import * as frontend from 'sentinel'
import { check, equal, must, refused } from '../stage.mjs'

async function stored(supabase, path) {
  const blob = must(await supabase.storage.from('media').download(path))
  return new Uint8Array(await blob.arrayBuffer())
}

function same(left, right) {
  return left.length === right.length && left.every((byte, place) => byte === right[place])
}

async function bytes(file) {
  return file instanceof Uint8Array ? file : new Uint8Array(await file.arrayBuffer())
}

export async function small_upload(stage) {
  const { supabase, user } = await stage.user()
  const file = await stage.file('bikes.mp4')
  const path = await frontend.upload(supabase, frontend.pathFor(user, file), file)
  check(same(await stored(supabase, path), await bytes(file)), 'other bytes came back')
  const [listed] = must(await supabase.storage.from('media').list(user.id))
  equal([listed.metadata.size, listed.metadata.mimetype], [file.size, 'video/mp4'], 'what Storage says of the file')
  await refused(frontend.upload(supabase, path, file), '409', 'statusCode')
  await odd(supabase, user, file)
}

// Storage refuses most letters of the world in a path; the request keeps the name.
async function odd(supabase, user, film) {
  const name = 'Fräulein 映画 🎬.mp4'
  const file = film instanceof Uint8Array ? Object.assign(film, { name }) : new File([film], name, { type: film.type })
  const row = await frontend.submitFile(supabase, file, { run_at: '2100-01-01T00:00:00Z' })
  equal(row.original_name, name, 'the name that the request keeps')
  check(same(await stored(supabase, row.storage_path), await bytes(file)), 'other bytes came back')
  const before = must(await supabase.storage.from('media').list(user.id)).length
  await refused(frontend.submitFile(supabase, file, { media_kind: 'smell' }), '23514')
  equal(must(await supabase.storage.from('media').list(user.id)).length, before, 'files after a request was refused')
}

export async function large_upload(stage) {
  const { supabase, user } = await stage.user()
  const file = stage.large(14 * 1024 * 1024)
  const path = frontend.pathFor(user, file)
  const signal = AbortSignal.abort(new Error('early'))
  await refused(frontend.uploadLarge(supabase, path, file, { signal }), 'early', 'message')
  const before = []
  const pause = new AbortController()
  const onProgress = (part) => {
    before.push(part)
    if (part > 0.5) pause.abort(new Error('paused'))
  }
  const paused = frontend.uploadLarge(supabase, path, file, { onProgress, signal: pause.signal })
  await refused(paused, 'paused', 'message')

  const after = []
  const other = frontend.pathFor(user, file)
  const final = await frontend.uploadLarge(supabase, other, file, { onProgress: (part) => after.push(part) })
  equal(final, path, 'the path of the upload that went on')
  check(after[0] >= 0.4, `it began again at ${after[0]}`)
  check(after.at(-1) === 1, `the last progress was ${after.at(-1)}`)
  check(after.every((part, place) => place === 0 || part >= after[place - 1]), `progress went back: ${after}`)
  check(same(await stored(supabase, path), await bytes(file)), 'other bytes came back')
  equal(await statusOfGiant(stage, supabase, other, file), 413, 'the status of a file that is too large')
}

// Nothing of it is left under the new name: the promise is for where the file is.
export async function forgotten_upload(stage) {
  const { supabase, user } = await stage.user()
  const file = stage.large(14 * 1024 * 1024)
  const path = frontend.pathFor(user, file)
  const pause = new AbortController()
  const onProgress = (part) => part > 0.5 && pause.abort(new Error('paused'))
  const paused = frontend.uploadLarge(supabase, path, file, { onProgress, signal: pause.signal })
  await refused(paused, 'paused', 'message')
  await forget(stage, supabase, path, file)

  const parts = []
  const other = frontend.pathFor(user, file)
  const final = await frontend.uploadLarge(supabase, other, file, { onProgress: (part) => parts.push(part) })
  check(parts[0] < 0.4, `it went on at ${parts[0]}`)
  check(same(await stored(supabase, final), await bytes(file)), 'other bytes came back')
  const names = must(await supabase.storage.from('media').list(user.id)).map(({ name }) => `${user.id}/${name}`)
  equal(names, [final], 'the files in the folder')
}

async function forget(stage, supabase, path, file) {
  const { session } = must(await supabase.auth.getSession())
  const headers = { Authorization: `Bearer ${session.access_token}` }
  const begun = new tus.Upload(file, { endpoint: `${stage.url}/storage/v1/upload/resumable` })
  const [mine] = (await begun.findPreviousUploads()).filter(({ metadata }) => metadata.objectName === path)
  await tus.Upload.terminate(mine.uploadUrl, { headers })
}

export async function discarded_upload(stage) {
  const { supabase, user } = await stage.user()
  const file = await stage.file('bikes.mp4')
  const path = await frontend.upload(supabase, frontend.pathFor(user, file), file)
  await refused(frontend.submit(supabase, { storage_path: path, media_kind: 'smell' }), '23514')
  equal((await frontend.quota(supabase)).stored_bytes, file.size, 'the bytes that are stored')
  await frontend.discard(supabase, path)
  equal(must(await supabase.storage.from('media').list(user.id)), [], 'the files in the folder')
  equal((await frontend.quota(supabase)).stored_bytes, 0, 'the bytes that are stored')
}

// tus asks for a place for the whole file before it sends a byte.
async function statusOfGiant(stage, supabase, path, file) {
  const { session } = must(await supabase.auth.getSession())
  const error = await new Promise((resolve) => {
    const giant = new tus.Upload(file, {
      endpoint: `${stage.url}/storage/v1/upload/resumable`,
      headers: { Authorization: `Bearer ${session.access_token}` },
      metadata: { bucketName: 'media', objectName: path, contentType: file.type },
      uploadSize: 3 * 1024 ** 3,
      onError: resolve,
      onSuccess: () => resolve(null),
    })
    giant.start()
  })
  return error?.originalResponse?.getStatus()
}

export async function signed_upload(stage) {
  const { supabase, user } = await stage.user()
  const file = await stage.file('bikes.mp4')
  const path = frontend.pathFor(user, file)
  const token = await frontend.uploadTicket(supabase, path)
  const phone = stage.client()
  await frontend.uploadWithTicket(phone, path, token, file)
  check(same(await stored(supabase, path), await bytes(file)), 'other bytes came back')
  await refused(frontend.uploadWithTicket(phone, `${path}.2`, token, file), '400', 'statusCode')
  await refused(frontend.uploadTicket(phone, path), '403', 'statusCode')
}
