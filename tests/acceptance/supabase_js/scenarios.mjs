// Every scenario by its name, for Node and for the browser.
import * as accounts from './scenarios/accounts.mjs'
import * as analyses from './scenarios/analyses.mjs'
import * as limits from './scenarios/limits.mjs'
import * as others from './scenarios/others.mjs'
import * as uploads from './scenarios/uploads.mjs'
import { Stage } from './stage.mjs'

const scenarios = { ...accounts, ...analyses, ...limits, ...others, ...uploads }

// Plays one scenario, of these or of `more`, within `seconds`; answers null, or what went wrong.
export async function play(name, { seconds, ...world }, more = {}) {
  const stage = new Stage(world)
  let timer
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${seconds} seconds`)), seconds * 1000)
  })
  try {
    await Promise.race([({ ...scenarios, ...more })[name](stage), limit])
    return null
  } catch (error) {
    return error.stack ?? JSON.stringify(error)
  } finally {
    clearTimeout(timer)
    await stage.close()
  }
}
