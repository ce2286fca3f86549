import { MillraceError } from '@millrace/common/errors'
import { expect, it } from 'vitest'
import { bodyBreak, conditionalFields, missingOnRoute, outcomeOfBreak, resourceOf, withContentType } from './response.js'

const VIDEO = '01hzy3v8k2m4n6p8q0r2s4t6v8'

it('takes a 404 as proven only when the whole route says so', () => {
  const attempts = [
    { origin: 'o1', outcome: 'missing' },
    { origin: 'o2', outcome: 'timeout' },
    { origin: 'o3', outcome: 'missing' },
  ] as const
  expect(missingOnRoute(['o1', 'o2'], attempts)).toBeUndefined()
  expect(missingOnRoute(['o1', 'o4'], attempts)).toBeUndefined()
  expect(missingOnRoute([], attempts)).toBeUndefined()
  expect(missingOnRoute(['o1'], attempts)).toEqual(['o1', 'o3'])
})

it('replaces the conditions and ranges of a client by its own', () => {
  const fields = ['if-match', 'If-None-Match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range', 'range', 'accept']
  const kept = conditionalFields(
    fields.map((name) => [name.toLowerCase(), 'x']),
    [['if-none-match', '"1"']],
  )
  expect(kept).toEqual([
    ['accept', 'x'],
    ['if-none-match', '"1"'],
  ])
})

it('tells how an origin did whose body broke', () => {
  const timeout = new MillraceError('late', { code: 'origin-timeout', source: 'origin', retryable: true })
  expect([timeout, bodyBreak('short'), new Error('gone')].map(outcomeOfBreak)).toEqual(['timeout', 'rejected', 'unreachable'])
})

it('knows media by its path, and its type where the origin names none', () => {
  const path = `/dash/${VIDEO}/r1/fragment-1-f2-a1-x3.m4s`
  expect(resourceOf({ mode: 'media', path })).toEqual({ mode: 'media', media: 'segment' })
  expect(withContentType([], { mode: 'media', path })).toEqual([['content-type', 'audio/mp4']])
  expect(withContentType([['content-type', 'a/b']], { mode: 'media', path })).toEqual([['content-type', 'a/b']])
  expect(withContentType([], { mode: 'generic', path, headers: [] })).toEqual([])
  expect(resourceOf({ mode: 'generic', path: '/', headers: [['authorization', 'x']] })).toEqual({ mode: 'generic', authorized: true })
})
