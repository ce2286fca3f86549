import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatRoute, parseRoute, redactRoute, routeExpiry, signRoute, verifyRoute } from './route.js'

const key = Buffer.from('millrace-test-key-0123456789abcdef')
const keys = new Map([['k1', key]])
const videoId = '01hzy3v8k2m4n6p8q0r2s4t6v8'
const vector = 'o1.o3~v1~1900000000~k1~66lYPaJ2lKAdAgFnOBvEzOBMDj-zCgNIcOuGzWk_o_8'

describe('a route', () => {
  it('with a changed origin list, expiry, asset or mac is bad-mac', () => {
    const changed = [vector.replace('o1.o3', 'o3.o1'), vector.replace('1900000000', '1900000600'), `${vector.slice(0, -1)}A`]
    for (const text of changed) expect(verifyRoute(parseRoute(text)!, videoId, 'r1', keys, 1)).toBe('bad-mac')
    expect(verifyRoute(parseRoute(vector)!, videoId, 'r2', keys, 1)).toBe('bad-mac')
    expect(verifyRoute(parseRoute(vector)!, '01hzy3v8k2m4n6p8q0r2s4t6v9', 'r1', keys, 1)).toBe('bad-mac')
  })

  it('is expired from its second on, and unknown-key when the key was retired', () => {
    expect(verifyRoute(parseRoute(vector)!, videoId, 'r1', keys, 1900000000)).toBe('expired')
    expect(verifyRoute(parseRoute(vector)!, videoId, 'r1', new Map(), 1)).toBe('unknown-key')
    expect(verifyRoute(parseRoute('o1.o3')!, videoId, 'r1', keys, 1)).toBe('unsigned')
  })

  it('has this test vector', () => {
    expect(signRoute({ origins: ['o1', 'o3'], exp: 1900000000, kid: 'k1', key, videoId, rev: 'r1' })).toBe(vector)
    expect(verifyRoute(parseRoute(vector)!, videoId, 'r1', keys, 1899999999)).toBe('valid')
  })

  it('is refused when it is not one', () => {
    const bad = [
      '',
      '.',
      'o1.',
      'O1',
      'o1..o2',
      'o1~',
      'o1~v1',
      'o1~v2~1~k1~x',
      `o1~v1~0~k1~${'a'.repeat(43)}`,
      'a'.repeat(33),
      Array(17).fill('o').join('.'),
    ]
    for (const text of bad) expect(parseRoute(text), text).toBeUndefined()
  })

  it('never throws on any text, and what parses formats back to the same text', () => {
    const texts = fc.oneof(fc.string(), fc.stringMatching(/^[a-z0-9.~_-]{0,120}$/))
    fc.assert(
      fc.property(texts, (text) => {
        const route = parseRoute(text)
        if (route) expect(formatRoute(route)).toBe(text)
      }),
    )
  })

  it('shows no mac in logs', () => {
    expect(redactRoute(vector)).toBe('o1.o3~signed')
    expect(redactRoute('o1.o3')).toBe('o1.o3')
  })

  it('lives at least six hours and three durations, to a full ten minutes', () => {
    expect(routeExpiry(1_000_000_001, 60)).toBe(1_000_021_800)
    expect(routeExpiry(1_000_000_000, 10 * 3600)).toBe(Math.ceil((1_000_000_000 + 108_000) / 600) * 600)
  })
})
