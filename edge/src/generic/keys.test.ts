import { expect, it } from 'vitest'
import { genericKey, resourceText, selectedKey, servesEverybody } from './keys.js'

const base = genericKey('o1', '/a?b=c')!

it('has no key for an endless URL, nor for endless selecting fields', () => {
  expect(genericKey('o1', `/${'x'.repeat(2000)}`)).toBeUndefined()
  expect(selectedKey(base, { varies: ['cookie'] }, [['cookie', 'x'.repeat(3000)]])).toBeUndefined()
})

it('finds the resource of each of its keys', () => {
  const key = selectedKey(base, { varies: ['user-agent'] }, [['user-agent', 'a b c']])!
  expect([resourceText(key.text), resourceText(base.text)]).toEqual(['o1 /a?b=c', 'o1 /a?b=c'])
  expect(key.hash).not.toBe(selectedKey(base, { varies: ['user-agent'] }, [])!.hash)
})

it('lets no response that varies serve everybody', () => {
  expect([servesEverybody({ headers: [['vary', 'foo']] }), servesEverybody({ headers: [['vary', '*']] })]).toEqual([false, false])
  expect(servesEverybody({ headers: [] })).toBe(true)
})
