// Plays scenarios in a page: the runner calls `play(name, {url, key, parameters, seconds})`.
import { play } from './scenarios.mjs'
import * as react from './scenarios/react.mjs'

const world = {
  file: async (name) => {
    const answer = await fetch(`/films/${name}`)
    return new File([await answer.blob()], name, { type: 'video/mp4' })
  },
  large: (size) => {
    const bytes = new Uint8Array(size)
    for (let place = 0; place < size; place += 1) bytes[place] = place % 251
    return new File([bytes], 'large.mp4', { type: 'video/mp4', lastModified: 0 })
  },
}

window.play = (name, given) => play(name, { ...world, ...given }, react)
