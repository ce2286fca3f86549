import { expect, it } from 'vitest'
import { genericKey, resourceText, selectedKey, servesEverybody } from './keys.js'

const base = genericKey('o1', '/a?b=c')!
const by = (...varies: string[]) => ({ id: '0123456789abcdef', varies })

it('has no key for an endless URL, nor for endless selecting fields', () => {
  expect(genericKey('o1', `/${'x'.repeat(2000)}`)).toBeUndefined()
  expect(selectedKey(base, by('cookie'), [['cookie', 'x'.repeat(3000)]])).toBeUndefined()
})

it('finds the resource of each of its keys', () => {
  const key = selectedKey(base, by('user-agent'), [['user-agent', 'a b c']])!
  expect([resourceText(key.text), resourceText(base.text)]).toEqual(['o1 /a?b=c', 'o1 /a?b=c'])
  expect(key.hash).not.toBe(selectedKey(base, { ...by('user-agent'), id: 'f'.repeat(16) }, [['user-agent', 'a b c']])!.hash)
  expect(key.hash).not.toBe(selectedKey(base, by('user-agent'), [])!.hash)
})

it('lets no response that varies serve everybody', () => {
  expect([servesEverybody({ headers: [['vary', 'foo']] }), servesEverybody({ headers: [['vary', '*']] })]).toEqual([false, false])
  expect(servesEverybody({ headers: [] })).toBe(true)
})
