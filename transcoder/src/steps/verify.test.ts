import { expect, test } from 'vitest'
import { judgeDuration } from './verify.js'

const promised = { duration: 100, maxSeconds: 600, damaged: true }

test('much less than promised, with errors, is a truncated source', () => {
  expect(() => judgeDuration(50, promised)).toThrow(
    expect.objectContaining({ code: 'source-truncated', source: 'source-media', retryable: false }),
  )
})

test('more than allowed is too long, whatever was promised', () => {
  expect(() => judgeDuration(601, { ...promised, duration: undefined })).toThrow(expect.objectContaining({ code: 'source-too-long' }))
})

test('a little less than promised, or much without any error, is a warning', () => {
  expect(judgeDuration(95, promised)).toMatchObject([{ code: 'source-damaged' }])
  expect(judgeDuration(50, { ...promised, damaged: false })).toMatchObject([{ code: 'source-damaged' }])
})

test('a second less is nothing, nor is anything where nothing was promised', () => {
  expect(judgeDuration(1.2, { ...promised, duration: 2 })).toEqual([])
  expect(judgeDuration(5, { ...promised, duration: undefined })).toEqual([])
})
