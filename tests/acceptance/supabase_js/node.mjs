// Plays scenarios in Node: a line {name, parameters, seconds} in, a line {error} out, until the input ends.
// Environment: SUPABASE_URL, SUPABASE_KEY, SUPABASE_SECRET_KEY, FILMS (a folder), UPLOADS (a file to remember them in).
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import * as tus from 'tus-js-client'
import { play } from './scenarios.mjs'

const { SUPABASE_URL, SUPABASE_KEY, SUPABASE_SECRET_KEY, FILMS, UPLOADS } = process.env

// What a browser has by itself: a memory of uploads that were begun.
tus.defaultOptions.urlStorage = new tus.FileUrlStorage(UPLOADS)

const named = (bytes, name) => Object.assign(bytes, { name, type: 'video/mp4', size: bytes.length })
const world = {
  url: SUPABASE_URL,
  key: SUPABASE_KEY,
  secretKey: SUPABASE_SECRET_KEY,
  file: async (name) => named(await readFile(join(FILMS, name)), name),
  large: (size) => named(Buffer.alloc(size, 'sentinel'), 'large.mp4'),
}

for await (const line of createInterface({ input: process.stdin })) {
  const { name, ...given } = JSON.parse(line)
  const error = await play(name, { ...world, ...given })
  process.stdout.write(JSON.stringify({ error }) + '\n')
}
process.exit(0)
