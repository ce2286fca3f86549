import fc from 'fast-check'
import { expect, test } from 'vitest'
import { chooseFrameRate, parseRational, rateOf } from './frame-rate.js'

const choose = (average: string, base: string, cap = 60) => {
  const { num, den } = chooseFrameRate(parseRational(average), parseRational(base), cap)
  return `${num}/${den}`
}

test.each([
  ['24000/1001', '24000/1001', '24000/1001'],
  ['25/1', '25/1', '25/1'],
  ['50/1', '50/1', '50/1'],
  ['60000/1001', '60000/1001', '60000/1001'],
  ['1/1', '1/1', '1/1'],
  ['25/2', '25/2', '25/2'],
  ['1/10', '1/10', '1/1'],
])('a constant %s stays in its class', (average, base, expected) => {
  expect(choose(average, base)).toBe(expected)
})

test.each([
  ['a phone’s variable 29.8', '298/10', '120/1', '30000/1001'],
  ['a screen recording with long still stretches', '7/1', '60/1', '60/1'],
  ['an absurd base rate', '3628800/502589', '57600/1', '24000/1001'],
  ['no average', '0/0', '25/1', '25/1'],
  ['nothing known', '0/0', '0/0', '25/1'],
])('variable: %s', (_, average, base, expected) => {
  expect(choose(average, base)).toBe(expected)
})

test('above the cap the rate is divided by a whole number', () => {
  expect(choose('120/1', '120/1')).toBe('60/1')
  expect(choose('120000/1001', '120000/1001')).toBe('60000/1001')
  expect(choose('100/1', '100/1')).toBe('50/1')
  expect(choose('50/1', '50/1', 30)).toBe('25/1')
})

test('whatever is probed, the rate is positive, within the cap and fits a timescale', () => {
  const rational = fc.tuple(fc.nat(200_000), fc.nat(200_000)).map(([num, den]) => parseRational(`${num}/${den}`))
  fc.assert(
    fc.property(rational, rational, fc.integer({ min: 10, max: 240 }), (average, base, cap) => {
      const rate = chooseFrameRate(average, base, cap)
      expect(Number.isInteger(rate.num) && Number.isInteger(rate.den)).toBe(true)
      expect(rateOf(rate)).toBeGreaterThan(0)
      expect(rateOf(rate)).toBeLessThanOrEqual(cap * 1.001)
      expect(rate.num).toBeLessThan(2 ** 31)
    }),
  )
})
