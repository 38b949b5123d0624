// What scenarios share: clients of their own, people who sign in, and claims about what came back.
import { connect } from 'sentinel'

export function check(condition, sentence) {
  if (!condition) throw new Error(sentence)
}

export function equal(actual, expected, what) {
  const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)]
  check(left === right, `${what}: ${left} instead of ${right}`)
}

export function must({ data, error }) {
  if (error) throw error
  return data
}

// The error of a call that has to be refused with this code, which is found under `field`.
export async function refused(call, code, field = 'code') {
  const { error } = await Promise.resolve(call).then((answer) => answer, (thrown) => ({ error: thrown }))
  check(error, `nothing was refused where ${code} was expected`)
  equal(error[field], code, `${field} of "${error.message}"`)
  return error
}

// One scenario's view of the world. `file(name)` gives a film as this platform has files; `parameters` come from the
// arrangement of the scenario, `secretKey` only where a server runs it.
export class Stage {
  #clients = []

  constructor({ url, key, secretKey, file, large, parameters }) {
    Object.assign(this, { url, key, secretKey, file, large, parameters })
  }

  client(key = this.key, options = {}) {
    // Each client is a person of their own, who forgets everything at the end.
    const auth = { persistSession: false, autoRefreshToken: false, storageKey: crypto.randomUUID() }
    const settings = options.accessToken ? options : { auth, ...options }
    const client = connect(this.url, key, settings)
    this.#clients.push(client)
    return client
  }

  async user() {
    const credentials = { email: `${crypto.randomUUID()}@example.com`, password: 'correct horse battery' }
    const supabase = this.client()
    const { user } = must(await supabase.auth.signUp(credentials))
    return { supabase, user, credentials }
  }

  async signedIn(credentials) {
    const supabase = this.client()
    const { user, session } = must(await supabase.auth.signInWithPassword(credentials))
    return { supabase, user, session, credentials }
  }

  async close() {
    for (const client of this.#clients) await client.removeAllChannels()
  }
}
