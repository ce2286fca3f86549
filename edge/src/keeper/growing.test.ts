import { expect, it } from 'vitest'
import { Growing } from './growing.js'

it('wakes those whose bytes have come, and everyone at the end', async () => {
  const growing = new Growing()
  const woken: string[] = []
  const near = growing.progress(10).then(() => woken.push('near'))
  const far = growing.progress(100).then(() => woken.push('far'))
  growing.grow(10)
  await growing.progress(9)
  expect(woken).toEqual([])
  growing.grow(11)
  await near
  expect(woken).toEqual(['near'])
  growing.grow(5)
  expect(growing.available).toBe(11)
  growing.end('broken')
  growing.end('complete')
  await far
  expect([woken, growing.state]).toEqual([['near', 'far'], 'broken'])
  await growing.progress(1000)
})
