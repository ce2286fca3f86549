import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { notModified } from './conditional.js'

const lastModified = 'Sun, 19 Nov 2000 08:52:00 GMT'

describe('notModified', () => {
  it.each([
    ['"b"', false],
    ['a', false],
    ['""', false],
    ['"a"', true],
    ['W/"a"', true],
    ['"x", "a"', true],
    ['"x,y",W/"a"', true],
    ['*', true],
  ])('If-None-Match %s against "a": %s', (ifNoneMatch, expected) => {
    expect(notModified({ ifNoneMatch }, { etag: '"a"' })).toBe(expected)
    expect(notModified({ ifNoneMatch }, { etag: 'W/"a"' })).toBe(expected)
  })

  it('lets If-None-Match win over If-Modified-Since', () => {
    expect(notModified({ ifNoneMatch: '"b"', ifModifiedSince: lastModified }, { etag: '"a"', lastModified })).toBe(false)
  })

  it.each([
    ['Sun, 19 Nov 2000 08:51:59 GMT', false],
    ['nonsense', false],
    [lastModified, true],
    ['Mon, 20 Nov 2000 00:00:00 GMT', true],
  ])('If-Modified-Since %s: %s', (ifModifiedSince, expected) => {
    expect(notModified({ ifModifiedSince }, { lastModified })).toBe(expected)
  })

  it('is modified when nothing can be compared', () => {
    expect(notModified({}, { etag: '"a"' })).toBe(false)
    expect(notModified({ ifNoneMatch: '"a"' }, {})).toBe(false)
    expect(notModified({ ifModifiedSince: lastModified }, {})).toBe(false)
  })

  it('never throws', () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.string(),
        (a, b) => typeof notModified({ ifNoneMatch: a, ifModifiedSince: b }, { etag: b }) === 'boolean',
      ),
    )
  })
})
