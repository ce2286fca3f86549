import { expect, it } from 'vitest'
import { cacheKey } from '../cache/key.js'
import type { Variants } from './policy-contract.js'
import { baseKey, targetOf, variantKey } from './variants.js'

const variants: Variants = {
  varyNames: (vary) => (vary === '*' ? undefined : (vary?.split(',') ?? [])),
  variantText: (names) => (names.includes('long') ? undefined : names.join('&')),
}
const upstream = { mode: 'generic' as const, path: '/a?b=%20c', headers: [] }
const base = cacheKey('o1 /a?b=%20c')

it('has no key for what varies by everything, or by too much', () => {
  expect(targetOf(base, upstream, '*', variants)).toBeUndefined()
  expect(targetOf(base, upstream, 'long', variants)).toBeUndefined()
})

it('has no key longer than an entry can hold', () => {
  const long = cacheKey(`o1 /${'x'.repeat(2490)}`)
  expect(targetOf(long, upstream, 'accept', variants)).toBeUndefined()
  expect(targetOf(long, upstream, undefined, variants)).toBeDefined()
})

it('takes media as it comes, whatever it varies by', () => {
  const key = cacheKey('/files/a')
  expect(targetOf(key, { mode: 'media', path: '/files/a' }, 'accept', variants)).toEqual({ key, varies: [], base: key })
})

it('stores a variant beside its resource, whichever of them was asked for', () => {
  const variant = variantKey(base, 'accept')
  for (const asked of [base, variant, variantKey(base, 'other')]) {
    expect(targetOf(asked, upstream, 'accept', variants)).toEqual({ key: variant, varies: ['accept'], base })
    // It varies no more: one response takes the place of what said that it did.
    expect(targetOf(asked, upstream, undefined, variants)).toEqual({ key: base, varies: [], base })
  }
  expect(baseKey(variant)).toEqual(base)
})
