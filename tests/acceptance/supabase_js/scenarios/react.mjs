// A React component that follows an analysis, in a page.
import { createElement } from 'react'
import { createRoot } from 'react-dom/client'
import * as frontend from 'sentinel'
import { SentinelContext, useAnalysis } from 'sentinel/useAnalysis'
import { check, equal } from '../stage.mjs'

export async function hook(stage) {
  const { supabase, user } = await stage.user()
  const [film, other] = [crypto.randomUUID(), crypto.randomUUID()]
  const seen = []
  let changed
  const Card = ({ id }) => {
    const { request, evidence, gone, error } = useAnalysis(id)
    seen.push({ id, status: request?.status, verdict: evidence?.verdict, urls: evidence?.urls, gone, error })
    changed?.()
    return createElement('p', null, request?.status ?? 'nothing')
  }
  const root = createRoot(document.body.appendChild(document.createElement('div')))
  const show = (id) => root.render(createElement(SentinelContext, { value: supabase }, createElement(Card, { id })))
  const until = async (done) => {
    while (!(seen.length && done(seen.at(-1)))) await new Promise((resolve) => (changed = resolve))
    return seen.at(-1)
  }
  try {
    show(film)
    await until(({ gone, status }) => !gone && !status)
    const row = await frontend.submitFile(supabase, await stage.file('bikes-tampered.mp4'), { id: film })
    equal([row.id, row.user_id], [film, user.id], 'the row')
    const last = await until(({ verdict }) => verdict)
    equal([last.status, last.verdict, last.error], ['succeeded', 'fake', null], 'the last that was shown')
    check(last.urls.thumbnail.startsWith('http'), `the thumbnail is ${last.urls.thumbnail}`)

    show(other)
    await until(({ id }) => id === other)
    equal(seen.at(-1).status, undefined, 'nothing of the first is shown for the second')
    show(film)
    await until(({ id, verdict }) => id === film && verdict)
    await frontend.remove(supabase, film)
    const end = await until(({ gone }) => gone)
    equal([end.status, end.verdict], [undefined, undefined], 'what is shown of a deleted one')
  } finally {
    root.unmount()
  }
}
