import { describe, expect, it } from 'vitest'
import { BLOCK_BYTES } from '../cache/body.js'
import { BufferPool } from './buffer-pool.js'

const LARGE = 4 * BLOCK_BYTES

describe('BufferPool', () => {
  it('keeps no more idle bytes of one size than are comfortable', () => {
    const pool = new BufferPool(2 * LARGE)
    const taken = Array.from({ length: 5 }, () => pool.take(1))
    for (const buffer of taken) pool.give(buffer)
    const again = Array.from({ length: 5 }, () => pool.take(1))
    expect(again.filter((buffer) => taken.includes(buffer))).toHaveLength(5)
    for (const buffer of again) pool.give(buffer)
    const many = Array.from({ length: 20 }, () => pool.take(1))
    for (const buffer of many) pool.give(buffer)
    const last = Array.from({ length: 20 }, () => pool.take(1))
    expect(last.filter((buffer) => many.includes(buffer))).toHaveLength(8)
  })

  it('keeps nothing where nothing is comfortable, and gives a block all the same', () => {
    const pool = new BufferPool(0)
    const first = pool.take(LARGE)
    pool.give(first)
    const second = pool.take(LARGE)
    expect([second === first, second.length >= BLOCK_BYTES]).toEqual([false, true])
  })

  it('is scarce only while more is in use than is comfortable, and gives small buffers then', () => {
    const pool = new BufferPool(2 * LARGE)
    const held = [pool.take(LARGE), pool.take(LARGE)]
    expect([pool.scarce, ...held.map(({ length }) => length)]).toEqual([false, LARGE, LARGE])
    held.push(pool.take(LARGE))
    expect([pool.scarce, pool.take(LARGE).length]).toEqual([true, BLOCK_BYTES])
    for (const buffer of held.splice(0)) pool.give(buffer)
    expect([pool.scarce, pool.take(LARGE).length]).toEqual([false, LARGE])
  })

  it('gives by what is wanted: a block for up to a block, whole blocks beyond', () => {
    const pool = new BufferPool(1 << 30)
    expect([0, 1, BLOCK_BYTES, BLOCK_BYTES + 1, 100 * BLOCK_BYTES].map((wanted) => pool.take(wanted).length)).toEqual([
      BLOCK_BYTES,
      BLOCK_BYTES,
      BLOCK_BYTES,
      LARGE,
      LARGE,
    ])
  })

  it('gives the same buffers again, never one to two at once', () => {
    const pool = new BufferPool(1 << 30)
    const taken = [pool.take(1), pool.take(LARGE), pool.take(1), pool.take(LARGE)]
    expect(new Set(taken.map(({ buffer }) => buffer)).size).toBe(4)
    for (const buffer of taken) pool.give(buffer)
    const again = [pool.take(LARGE), pool.take(1), pool.take(LARGE), pool.take(1)]
    expect(new Set(again)).toEqual(new Set(taken))
  })
})
