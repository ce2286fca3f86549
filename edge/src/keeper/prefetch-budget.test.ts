import { expect, it } from 'vitest'
import { PrefetchBudget } from './prefetch-budget.js'

it('lets no more run at once than allowed, and makes the next wait until what was taken is paid', () => {
  let now = 0
  const budget = new PrefetchBudget({ maxConcurrent: 1, bytesPerSecond: 1000 }, () => now)
  expect(budget.hindrance()).toBeUndefined()
  budget.started()
  expect(budget.hindrance()).toBe('busy')
  budget.ended(3000)
  expect(budget.hindrance()).toBe('over-budget')
  now = 2000
  expect(budget.hindrance()).toBe('over-budget')
  now = 2001
  expect(budget.hindrance()).toBeUndefined()
  // Idle time saves up no more than a second's worth.
  now = 1_000_000
  expect(budget.hindrance()).toBeUndefined()
  budget.started()
  budget.ended(1000)
  expect(budget.hindrance()).toBe('over-budget')
})

it('allows nothing where the limit is none', () => {
  expect(new PrefetchBudget({ maxConcurrent: 0, bytesPerSecond: 1000 }, () => 0).hindrance()).toBe('busy')
})
