import { expect, it } from 'vitest'
import { type CacheKey, cacheKey } from '../cache/key.js'
import { variantKey } from '../cache/vary.js'
import type { Upstream } from './contract.js'
import type { Variants } from './policy-contract.js'
import { baseKey, targetOf as findTarget } from './variants.js'

const variants: Variants = {
  varyNames: (vary) => (vary === '*' ? undefined : (vary?.split(',') ?? [])),
  variantText: (names) => (names.includes('long') ? undefined : names.join('&')),
}
const upstream = { mode: 'generic' as const, path: '/a?b=%20c', headers: [] }
const base = cacheKey('o1 /a?b=%20c')
const marker = '0123456789abcdef'
const targetOf = (asked: CacheKey, given: Upstream, vary: string | undefined) =>
  findTarget(asked, given, vary, variants, { marker: async () => marker })

it('has no key for what varies by everything, or by too much', async () => {
  expect(await targetOf(base, upstream, '*')).toBeUndefined()
  expect(await targetOf(base, upstream, 'long')).toBeUndefined()
})

it('has no key longer than an entry can hold', async () => {
  const long = cacheKey(`o1 /${'x'.repeat(2490)}`)
  expect(await targetOf(long, upstream, 'accept')).toBeUndefined()
  expect(await targetOf(long, upstream, undefined)).toBeDefined()
})

it('takes media as it comes, whatever it varies by', async () => {
  const key = cacheKey('/files/a')
  expect(await targetOf(key, { mode: 'media', path: '/files/a' }, 'accept')).toEqual({ key, varies: [], base: key })
})

it('stores a variant beside its resource, whichever of them was asked for', async () => {
  const variant = variantKey(base, marker, 'accept')
  for (const asked of [base, variant, variantKey(base, marker, 'other')]) {
    expect(await targetOf(asked, upstream, 'accept')).toEqual({ key: variant, varies: ['accept'], base, marker })
    // It varies no more: one response takes the place of what said that it did.
    expect(await targetOf(asked, upstream, undefined)).toEqual({ key: base, varies: [], base })
  }
  expect(baseKey(variant)).toEqual(base)
})
