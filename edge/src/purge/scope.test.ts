import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { mediaKey, scopeOf } from './scope.js'

const VIDEO = '01hzy3v8k2m4n6p8q0r2s4t6v8'
const path = `/files/${VIDEO}/r1/main.m3u8`
const genericKey = (url: string) => (url.startsWith('/shop/') ? `web ${url}` : undefined)

describe('a purge of a URL', () => {
  it.each(['/', '/o1', '/o1/etc/passwd', `/O1${path}`, `/o1/x${path}`, `/o1/files/${VIDEO}/r0/main.m3u8`])('refuses %s', (url) => {
    expect(() => scopeOf({ version: 1, scope: 'url', url }, genericKey)).toThrow(
      expect.objectContaining({ code: 'unknown-url', status: 400 }),
    )
  })

  it.each([path, `/o1.o2${path}`, `/o1~v1~1900000000~k1~${'A'.repeat(43)}${path}`, `/o1${path}?x=1`])(
    'names the one entry of %s',
    (url) => {
      expect(scopeOf({ version: 1, scope: 'url', url }, genericKey)).toEqual({ scope: 'url', key: path })
    },
  )

  it('keeps the query in generic mode', () => {
    expect(scopeOf({ version: 1, scope: 'url', url: '/shop/a?b=1' }, genericKey)).toEqual({ scope: 'url', key: 'web /shop/a?b=1' })
  })

  it('never throws on any text, and gives only canonical data paths', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^\/[a-z0-9./?~]{0,80}$/)), (url) => {
        const key = mediaKey(url)
        if (key !== undefined) expect(mediaKey(key)).toBe(key)
      }),
    )
  })
})
