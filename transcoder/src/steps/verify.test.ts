import { expect, test } from 'vitest'
import { judgeDuration } from './verify.js'

test('much less than promised is a truncated source', () => {
  expect(() => judgeDuration(50, { duration: 100, maxSeconds: 600 })).toThrow(
    expect.objectContaining({ code: 'source-truncated', source: 'source-media' }),
  )
})

test('more than allowed is too long, whatever was promised', () => {
  expect(() => judgeDuration(601, { duration: undefined, maxSeconds: 600 })).toThrow(expect.objectContaining({ code: 'source-too-long' }))
})

test('a little less than promised is a warning, a second is none', () => {
  expect(judgeDuration(95, { duration: 100, maxSeconds: 600 })).toMatchObject([{ code: 'source-damaged' }])
  expect(judgeDuration(1.2, { duration: 2, maxSeconds: 600 })).toEqual([])
  expect(judgeDuration(5, { duration: undefined, maxSeconds: 600 })).toEqual([])
})
