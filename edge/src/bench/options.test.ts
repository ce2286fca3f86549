import { expect, it } from 'vitest'
import { parseOptions, USAGE } from './options.js'
import { PARTS } from './parts.js'

it('refuses parts, numbers and options that there are not', () => {
  expect(() => parseOptions(['--only', 'hits,speed'])).toThrow("no part is called 'speed'")
  expect(() => parseOptions(['--rounds', '0'])).toThrow('--rounds')
  expect(() => parseOptions(['--seconds', '1.5'])).toThrow('--seconds')
  expect(() => parseOptions(['--objects', '100'])).toThrow('--objects')
  expect(() => parseOptions(['--fast'])).toThrow()
})

it('a quick run is short unless told otherwise', () => {
  expect(parseOptions(['--quick'])).toMatchObject({ rounds: 2, seconds: 2, objects: 50_000 })
  expect(parseOptions(['--quick', '--rounds', '7'])).toMatchObject({ rounds: 7, seconds: 2 })
  expect(parseOptions([])).toMatchObject({ rounds: 5, seconds: 4, objects: 1_000_000, only: undefined })
})

it('help names every part', () => {
  for (const part of PARTS) expect(USAGE).toContain(`${part.name} `)
})
