import { describe, expect, it } from 'vitest'
import type { HeaderField } from './entry-meta.js'
import { isShared, requestDirectives, servesAsIs, servesOnError, staleness, useOf } from './serving.js'

const NOW = 1_700_000_000_000

describe('staleness', () => {
  const meta = { freshUntil: NOW, staleWhileRevalidate: 1000, staleIfError: 3000 }
  it.each([
    [3000, 'stale'],
    [1000, 'if-error'],
    [2999, 'if-error'],
    [0, 'while-revalidate'],
    [999, 'while-revalidate'],
    [-1, 'fresh'],
  ] as const)('%i ms after its lifetime: %s', (after, expected) => {
    expect(staleness(meta, NOW + after)).toBe(expected)
  })

  it('serves on error only within that window, also where the other is longer', () => {
    const longer = { freshUntil: NOW, staleWhileRevalidate: 9000, staleIfError: 3000 }
    expect([servesOnError(longer, NOW + 3000), servesOnError(longer, NOW + 2999)]).toEqual([false, true])
  })
})

describe('requestDirectives', () => {
  it('takes Pragma only where there is no Cache-Control', () => {
    expect(requestDirectives('', 'no-cache').noCache).toBe(false)
    expect(requestDirectives(undefined, 'x, no-cache').noCache).toBe(true)
  })

  it('asks for nothing where nothing is said, and for fresh where it cannot be read', () => {
    expect(requestDirectives(undefined, undefined)).toEqual({
      noCache: false,
      noStore: false,
      onlyIfCached: false,
      maxAge: undefined,
      minFresh: 0,
      maxStale: 0,
    })
    expect(requestDirectives('max-age=x, min-fresh=x, max-stale=x', undefined)).toMatchObject({ maxAge: 0, minFresh: 0, maxStale: 0 })
  })

  it('reads each', () => {
    expect(requestDirectives('no-cache, no-store, only-if-cached, max-age=1, min-fresh="2", max-stale=3', undefined)).toEqual({
      noCache: true,
      noStore: true,
      onlyIfCached: true,
      maxAge: 1000,
      minFresh: 2000,
      maxStale: 3000,
    })
    expect(requestDirectives('max-stale', undefined).maxStale).toBe(Number.POSITIVE_INFINITY)
  })
})

describe('useOf', () => {
  const entry = (fresh: number, control?: string) => ({
    bornAt: NOW - 10_000,
    freshUntil: NOW + fresh,
    staleWhileRevalidate: 5000,
    staleIfError: 0,
    headers: (control === undefined ? [] : [['cache-control', control]]) as HeaderField[],
  })
  it.each([
    [-1000, 'no-cache, max-stale', 'validate'],
    [-1000, 'max-age=0', 'validate'],
    [-1000, 'min-fresh=1', 'validate'],
    [-9000, undefined, 'validate'],
    [-9000, 'max-stale=9', 'validate'],
    [-9000, 'max-stale=90, max-age=5, no-cache', 'validate'],
    [1000, 'no-cache', 'forward'],
    [1000, 'max-age=9', 'forward'],
    [1000, 'min-fresh=2', 'forward'],
    [-1000, undefined, 'background'],
    [-9000, 'max-stale=10', 'serve'],
    [-9000, 'max-stale', 'serve'],
    [1000, undefined, 'serve'],
    [1000, 'max-age=10, min-fresh=1, no-store', 'serve'],
  ] as const)('%i ms of freshness left, request says %s: %s', (left, control, use) => {
    expect(useOf(entry(left), requestDirectives(control, undefined), NOW)).toBe(use)
  })

  it.each(['must-revalidate', 'proxy-revalidate', 's-maxage=1', 'no-cache', 'no-store', 'private'])(
    'lets no max-stale override %s',
    (control) => {
      const meta = { ...entry(-1000, control), staleWhileRevalidate: 0 }
      expect(useOf(meta, requestDirectives('max-stale', undefined), NOW)).toBe('validate')
      const headers: HeaderField[] = [
        ['cache-control', 'max-age=1'],
        ['cdn-cache-control', control],
      ]
      expect(useOf({ ...meta, headers }, requestDirectives('max-stale', undefined), NOW)).toBe('validate')
    },
  )
})

describe('a response that is still coming', () => {
  const meta = (control: string, fresh = 60_000) => ({
    bornAt: NOW - 10_000,
    freshUntil: NOW + fresh,
    staleWhileRevalidate: 5000,
    staleIfError: 0,
    headers: [['cache-control', control]] as HeaderField[],
  })
  const wanting = (control?: string): HeaderField[] => (control === undefined ? [] : [['cache-control', control]])

  it.each([
    ['max-age=60', -1, undefined, false],
    ['max-age=60', -1, 'max-stale=1', true],
    ['no-cache', -1, 'max-stale', false],
    ['max-age=60', 1000, 'no-cache', false],
    ['max-age=60', 1000, 'max-age=9', false],
    ['max-age=60', 1000, 'max-age=10, min-fresh=1', true],
    ['max-age=60', 1000, undefined, true],
  ] as const)('of %s with %i ms of freshness left serves one that says %s: %s', (control, left, wants, serves) => {
    expect(servesAsIs(meta(control, left), wanting(wants), NOW)).toBe(serves)
  })

  it.each([
    ['no-cache', undefined, undefined, false],
    ['no-cache', 'no-cache', 'no-cache', false],
    ['max-age=0', undefined, undefined, true],
    ['max-age=60', undefined, 'no-cache', false],
    ['max-age=60', 'no-cache', 'no-cache', true],
    ['max-age=60', 'no-cache', undefined, true],
    ['max-age=60', undefined, 'max-age=9', false],
    ['max-age=60', undefined, 'max-age=10', true],
    ['max-age=60', undefined, 'min-fresh=61', false],
  ] as const)('of %s to one that says %s is shared with one that says %s: %s', (control, asked, wants, shared) => {
    expect(isShared(meta(control), wanting(asked), wanting(wants), NOW)).toBe(shared)
  })

  it('is told from another one by Pragma as well', () => {
    expect(isShared(meta('max-age=60'), [], [['pragma', 'no-cache']], NOW)).toBe(false)
  })
})
