import { expect, it } from 'vitest'
import { BREAKS, REFUSES, Troubles } from './trouble.js'

it('an answer is excused by what was dead while it was asked for, and shortly before; by nothing else', () => {
  let now = 0
  const troubles = new Troubles(() => now)
  expect(troubles.touched(BREAKS, 0)).toBe(false)
  const end = troubles.begin('edge')
  now = 50_000
  expect(troubles.touched(REFUSES, 49_000)).toBe(true)
  end()
  expect(troubles.touched(REFUSES, 52_000)).toBe(true)
  expect(troubles.touched(REFUSES, 60_000)).toBe(false)
})

it('one dead origin of two, or one dead worker, excuses a broken transfer but no error', () => {
  const troubles = new Troubles(() => 0)
  troubles.begin('origin')
  troubles.begin('worker')
  expect(troubles.touched(BREAKS, 0)).toBe(true)
  expect(troubles.touched(REFUSES, 0)).toBe(false)
  expect(troubles.count('origin')).toBe(1)
})
