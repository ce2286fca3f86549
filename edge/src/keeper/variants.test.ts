import { expect, it } from 'vitest'
import { cacheKey } from '../cache/key.js'
import type { Variants } from './policy-contract.js'
import { baseKey, targetOf, variantKey } from './variants.js'

const variants: Variants = {
  varyNames: (vary) => (vary === '*' ? undefined : (vary?.split(',') ?? [])),
  variantText: (names) => (names.includes('long') ? undefined : names.join('&')),
}
const base = cacheKey('o1 /a?b=%20c')

it('has no key for what varies by everything, or by too much', () => {
  expect(targetOf(base, '*', [], variants)).toBeUndefined()
  expect(targetOf(base, 'long', [], variants)).toBeUndefined()
})

it('stores a variant beside its resource, whichever of them was asked for', () => {
  const variant = variantKey(base, 'accept')
  for (const asked of [base, variant, variantKey(base, 'other')]) {
    expect(targetOf(asked, 'accept', [], variants)).toEqual({ key: variant, varies: ['accept'], base })
    // It varies no more: one response takes the place of what said that it did.
    expect(targetOf(asked, undefined, [], variants)).toEqual({ key: base, varies: [], base })
  }
  expect(baseKey(variant)).toEqual(base)
})
