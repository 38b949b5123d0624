import { expect, test } from 'vitest'
import { quotaRefusal } from '../src/sentinel'

const details = '{"quota": "open_requests", "limit": 2, "used": 2}'

test('a refusal says which quota, and keeps the sentences', () => {
  const refused = { code: 'PT429', message: 'Too many.', hint: 'Wait.', details }
  expect(quotaRefusal(refused)).toEqual({ message: 'Too many.', hint: 'Wait.', quota: 'open_requests', limit: 2, used: 2 })
})

test.each([null, undefined, 'PT429', { code: '23505' }, new Error('lost')])('%j is no refusal by a quota', (error) => {
  expect(quotaRefusal(error)).toBeNull()
})
