// Mistakes that the compiler has to find: tsc fails if one of these lines has no error.
import { cancel, type Evidence, evidence, finished, type Sentinel, submit } from '../src/sentinel'

export async function mistakes(supabase: Sentinel, found: Evidence) {
  const seen: unknown[] = []
  // @ts-expect-error: users cannot write the status
  await submit(supabase, { storage_path: 'a', status: 'succeeded' })
  // @ts-expect-error: one source, not both
  await submit(supabase, { storage_path: 'a', source_url: 'https://example.org/a' })
  // @ts-expect-error: one source, not none
  await submit(supabase, { media_kind: 'video' })
  // @ts-expect-error: there is no such kind
  await submit(supabase, { storage_path: 'a', media_kind: 'smell' })
  // @ts-expect-error: the request may have been deleted
  seen.push((await finished(supabase, 'a')).status)
  // @ts-expect-error: users do not read which worker it was
  seen.push((await evidence(supabase, 'a')).worker)
  // @ts-expect-error: sound without a verdict has no timeline
  seen.push(found.audio?.timeline)
  // @ts-expect-error: the argument is called id
  await supabase.rpc('cancel_analysis', { request: 'a' })
  // @ts-expect-error: it is spelled cancelled
  seen.push(((await cancel(supabase, 'a')) === 'canceled'))
  // @ts-expect-error: there is no such column
  await supabase.from('analysis_requests').select().eq('colour', 'blue')
  // @ts-expect-error: owners call cancel_analysis instead
  await supabase.from('analysis_requests').update({ status: 'cancelled' }).eq('id', 'a')
  // @ts-expect-error: only workers call it
  await supabase.rpc('sentinel_claim', { args: {} })

  // Narrowed by their verdict.
  if (found.audio?.verdict) seen.push(found.audio.timeline[0]?.fake_probability)
  if (found.audio?.reason === 'unreadable') seen.push(found.audio.error_code)
  return seen
}
