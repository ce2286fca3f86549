import { parseConfig } from '@millrace/common/config/load'
import { expect, it } from 'vitest'
import { cmcdSchema, prefetchSchema } from './config.js'

it('refuses samples and rates beyond any sense and names them', () => {
  expect(() => parseConfig(cmcdSchema, { sample: 1.5 })).toThrow(/sample/)
  expect(() => parseConfig(prefetchSchema, { rate: 1000 })).toThrow(/rate/)
  expect(() => parseConfig(prefetchSchema, { maxConcurrent: 0 })).toThrow(/maxConcurrent/)
})

it('reads what players tell, and fetches nothing ahead, where nothing is said', () => {
  expect(parseConfig(cmcdSchema, {})).toEqual({ enabled: true, sample: 1 })
  expect(parseConfig(prefetchSchema, {})).toEqual({ enabled: false, next: true, maxConcurrent: 8, rate: 32 << 20 })
})
