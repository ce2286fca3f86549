import { expect, it } from 'vitest'
import { uniqueNames } from './unique-names.js'

it('gives names of the asked length, each once, also beside another giver', () => {
  const givers = [uniqueNames(16), uniqueNames(16)]
  const names = givers.flatMap((next) => Array.from({ length: 5000 }, next))
  expect(new Set(names).size).toBe(10_000)
  expect(names.every((name) => /^[0-9a-f]{16}$/.test(name))).toBe(true)
  expect(uniqueNames(12)()).toMatch(/^[0-9a-f]{12}$/)
})
