import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkPreconditions, notModified } from './conditional.js'

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
    ['Mon, 20 Nov 2000 00:00:00 +0100', false],
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

describe('checkPreconditions', () => {
  const earlier = 'Sun, 19 Nov 2000 08:51:59 GMT'
  it.each([
    ['GET', { ifMatch: '"b"' }, 'failed'],
    ['GET', { ifMatch: 'W/"a"' }, 'failed'],
    ['GET', { ifMatch: '"b", "a"' }, 'proceed'],
    ['GET', { ifMatch: '*' }, 'proceed'],
    ['GET', { ifMatch: '"a"', ifNoneMatch: '"a"' }, 'not-modified'],
    ['GET', { ifMatch: '"a"', ifUnmodifiedSince: earlier }, 'proceed'],
    ['GET', { ifUnmodifiedSince: earlier }, 'failed'],
    ['GET', { ifUnmodifiedSince: lastModified }, 'proceed'],
    ['GET', { ifUnmodifiedSince: 'yesterday' }, 'proceed'],
    ['PUT', { ifNoneMatch: '*' }, 'failed'],
    ['PUT', { ifNoneMatch: '"b"' }, 'proceed'],
    ['PUT', { ifModifiedSince: lastModified }, 'proceed'],
    ['HEAD', { ifModifiedSince: lastModified }, 'not-modified'],
    ['GET', { ifNoneMatch: '"b"', ifModifiedSince: lastModified }, 'proceed'],
    ['GET', {}, 'proceed'],
  ] as const)('%s with %j: %s', (method, request, expected) => {
    expect(checkPreconditions(method, request, { etag: '"a"', lastModified })).toBe(expected)
  })

  it('never lets a weak ETag hold for If-Match', () => {
    expect(checkPreconditions('GET', { ifMatch: 'W/"a"' }, { etag: 'W/"a"' })).toBe('failed')
    expect(checkPreconditions('GET', { ifMatch: '"a"' }, {})).toBe('failed')
  })

  it('goes by when it was received where there is no Last-Modified', () => {
    const receivedAt = Date.parse(lastModified) + 500
    expect(checkPreconditions('GET', { ifModifiedSince: lastModified }, { receivedAt })).toBe('not-modified')
    expect(checkPreconditions('GET', { ifModifiedSince: earlier }, { receivedAt })).toBe('proceed')
  })
})
