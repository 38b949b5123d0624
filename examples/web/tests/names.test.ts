import { expect, test } from 'vitest'
import { originalName, pathFor } from '../src/sentinel'

const user = { id: '00000000-0000-4000-8000-000000000001' }
const nameOf = (name: string) => pathFor(user, { name }).slice(`${user.id}/00000000-0000-4000-8000-000000000000-`.length)

test.each([
  ['film.mp4', 'film.mp4'],
  ['Fräulein Ærø.mp4', 'Fraulein_r_.mp4'],
  ['映画.mp4', '_.mp4'],
  ['..', '..'],
  ['', ''],
  ['../../etc/passwd', '.._.._etc_passwd'],
  ['a%2Fb?c#d.mov', 'a_2Fb_c_d.mov'],
])('the path of %j ends with %j', (name, end) => {
  expect(nameOf(name)).toBe(end)
})

test('a path is the user\u2019s own, and its end is kept where a name is long', () => {
  const path = pathFor(user, { name: `${'x'.repeat(3000)}.mp4` })
  expect(path).toMatch(/^00000000-0000-4000-8000-000000000001\/[0-9a-f-]{36}-x+\.mp4$/)
  expect(path.length).toBeLessThan(200)
})

test.each([
  ['Fräulein 映画 🎬.mp4', 'Fräulein 映画 🎬.mp4'],
  ['', null],
  ['half \ud83c.mp4', 'half \ufffd.mp4'],
])('the original name of %j is kept as %j', (name, kept) => {
  expect(originalName({ name })).toBe(kept)
})

test('of a long name 255 characters are kept, as the database counts them', () => {
  const kept = originalName({ name: `${'🎬'.repeat(400)}.mp4` }) ?? ''
  expect(Array.from(kept)).toHaveLength(255)
  expect(kept.endsWith('🎬.mp4')).toBe(true)
})
