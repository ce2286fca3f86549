import { parseConfig } from '@millrace/common/config/load'
import { parseRoute, signRoute, verifyRoute } from '@millrace/common/contracts/route'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { routesSchema } from './config.js'
import { CachedGuard, type GuardOptions, routeKeys } from './route-token.js'

const VIDEO = '01hzy3v8k2m4n6p8q0r2s4t6v8'
const OTHER = '01hzy3v8k2m4n6p8q0r2s4t6v9'
const NOW = 1_900_000_000
const key = Buffer.from('a-secret-for-the-tests-0123456789')
const retired = Buffer.from('an-older-secret-of-the-tests-0123')
const keys = new Map([
  ['k1', key],
  ['k0', retired],
])

const sign = (options: { exp?: number; kid?: string; with?: Buffer; rev?: string; origins?: string[] } = {}) =>
  signRoute({
    origins: options.origins ?? ['o1', 'o3'],
    exp: options.exp ?? NOW + 3600,
    kid: options.kid ?? 'k1',
    key: options.with ?? key,
    videoId: VIDEO,
    rev: options.rev ?? 'r1',
  })

const guardOf = (options: Partial<GuardOptions> = {}) => new CachedGuard({ keys, require: true, skewSeconds: 30, ...options })

/** The code of the refusal; undefined when there is none. */
function ask(
  guard: CachedGuard,
  text: string,
  {
    videoId = VIDEO,
    rev = 'r1',
    now = NOW,
    mediaClass = 'segment' as const,
  }: { videoId?: string; rev?: string; now?: number; mediaClass?: 'segment' | 'playlist' } = {},
): string | undefined {
  try {
    guard.check(text, parseRoute(text)!, videoId, rev, mediaClass, now)
    return undefined
  } catch (error) {
    expect(error).toMatchObject({ status: 403 })
    return (error as { code: string }).code
  }
}

describe('a guard of signed routes', () => {
  it.each([
    ['no signature', 'o1.o3', 'route-unsigned'],
    ['an expired signature', sign({ exp: NOW - 31 }), 'route-expired'],
    ['a signature of an unknown key', sign({ kid: 'k9' }), 'route-unknown-key'],
    ['a signature by another key', sign({ with: Buffer.from('not-the-secret-0123456789') }), 'route-bad-signature'],
    ['a signature of another key id', sign({ kid: 'k0' }), 'route-bad-signature'],
    ['a signature for another revision', sign({ rev: 'r2' }), 'route-bad-signature'],
    ['other origins than were signed', sign().replace('o1.o3', 'o3.o1'), 'route-bad-signature'],
  ])('refuses %s, the second time as the first', (_what, text, code) => {
    const guard = guardOf()
    expect([ask(guard, text), ask(guard, text)]).toEqual([code, code])
  })

  it('refuses a right signature for any other asset, also when it is remembered', () => {
    const guard = guardOf()
    expect(ask(guard, sign())).toBeUndefined()
    expect(ask(guard, sign(), { videoId: OTHER })).toBe('route-bad-signature')
    expect(ask(guard, sign(), { rev: 'r11' })).toBe('route-bad-signature')
    expect(ask(guard, sign())).toBeUndefined()
  })

  it('refuses a remembered signature once it has expired, to the second, after the skew', () => {
    const guard = guardOf()
    const text = sign({ exp: NOW })
    expect(ask(guard, text, { now: NOW + 29 })).toBeUndefined()
    expect(ask(guard, text, { now: NOW + 30 })).toBe('route-expired')
  })

  it('refuses what a withdrawn key signed as soon as the keys are reloaded', () => {
    const guard = guardOf()
    const old = sign({ kid: 'k0', with: retired })
    expect(ask(guard, old)).toBeUndefined()
    guard.setKeys(new Map([['k1', key]]))
    expect(ask(guard, old)).toBe('route-unknown-key')
    guard.setKeys(new Map([['k0', key]]))
    expect(ask(guard, old)).toBe('route-bad-signature')
    expect(ask(guard, sign())).toBe('route-unknown-key')
  })

  it('demands a signature for the listed classes only, and refuses a wrong one everywhere', () => {
    const guard = guardOf({ require: ['segment', 'init'] })
    expect(ask(guard, 'o1')).toBe('route-unsigned')
    expect(ask(guard, 'o1', { mediaClass: 'playlist' })).toBeUndefined()
    expect(ask(guard, sign({ exp: NOW - 31 }), { mediaClass: 'playlist' })).toBe('route-expired')
  })

  it('takes any signature where there is no key to check it by and none is demanded', () => {
    const guard = guardOf({ require: false, keys: new Map() })
    expect([ask(guard, sign({ kid: 'k9' })), ask(guard, 'o1')]).toEqual([undefined, undefined])
  })

  it('refuses every change of one character in a signed route', () => {
    const text = sign()
    const guard = guardOf()
    expect(ask(guard, text)).toBeUndefined()
    const characters = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~']
    fc.assert(
      fc.property(fc.nat({ max: text.length - 1 }), fc.constantFrom(...characters, ''), (at, character) => {
        const changed = text.slice(0, at) + character + text.slice(at + 1)
        if (changed === text) return
        if (parseRoute(changed)) expect(ask(guard, changed), changed).toBeDefined()
      }),
      { numRuns: 2000 },
    )
  })

  it('says what a guard that remembers nothing would say, in any order of requests', () => {
    const texts = [sign(), sign({ exp: NOW + 10 }), sign({ rev: 'r2' }), sign({ kid: 'k0', with: retired }), sign({ kid: 'k0' }), 'o1']
    const request = fc.record({
      text: fc.constantFrom(...texts),
      videoId: fc.constantFrom(VIDEO, OTHER),
      rev: fc.constantFrom('r1', 'r2'),
      now: fc.integer({ min: NOW, max: NOW + 60 }),
    })
    fc.assert(
      fc.property(fc.array(request, { maxLength: 40 }), (requests) => {
        const guard = guardOf({ skewSeconds: 0 })
        for (const { text, ...of } of requests) {
          const valid = verifyRoute(parseRoute(text)!, of.videoId, of.rev, keys, of.now) === 'valid'
          expect(ask(guard, text, of) === undefined).toBe(valid)
        }
      }),
      { numRuns: 60 },
    )
  })
})

describe('a route of any text', () => {
  it('never throws, and reads no two texts as one signature', () => {
    const signed = fc
      .tuple(fc.stringMatching(/^[a-z0-9.]{1,20}$/), fc.stringMatching(/^[0-9]{1,13}$/), fc.stringMatching(/^[A-Za-z0-9_-]{42,44}$/))
      .map(([ids, exp, mac]) => `${ids}~v1~${exp}~k1~${mac}`)
    fc.assert(
      fc.property(fc.oneof(fc.string(), signed), (text) => {
        const signature = parseRoute(text)?.signature
        if (!signature) return
        expect(Buffer.from(signature.mac, 'base64url').toString('base64url')).toBe(signature.mac)
        expect(Number.isSafeInteger(signature.exp)).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('the settings of routes', () => {
  const parse = (raw: unknown) => parseConfig(z.strictObject({ routes: routesSchema }), { routes: raw }).routes
  const secrets = { k1: 'a-secret-for-the-tests-0123456789' }

  it.each([
    ['signatures demanded without keys', { require: true }, /routes\.keys: is needed/],
    ['signatures of a class demanded without keys', { require: ['segment'] }, /routes\.keys: is needed/],
    ['an unknown class', { keys: secrets, require: ['segments'] }, /routes\.require/],
    ['an empty list of classes', { keys: secrets, require: [] }, /routes\.require/],
    ['a short secret', { keys: { k1: 'short' } }, /routes\.keys\.k1/],
    ['a skew of an hour', { skew: '1h' }, /routes\.skew/],
  ])('refuse %s and name it', (_what, raw, message) => {
    expect(() => parse(raw)).toThrow(message)
  })

  it('have a skew of half a minute and demand nothing, unless they say otherwise', () => {
    expect(parse({})).toEqual({ keys: {}, require: false, skew: 30_000 })
    const routes = parse({ keys: secrets, require: ['segment', 'init'] })
    expect(routes.require).toEqual(['segment', 'init'])
    expect(routeKeys(routes.keys).get('k1')?.toString()).toBe(secrets.k1)
  })
})
