import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import { stopInPhases } from './lifecycle.js'

const log = pino({ level: 'silent' })

describe('stopping', () => {
  it('goes on after a phase that fails or hangs, and says that it was not clean', async () => {
    const ran: string[] = []
    const clean = await stopInPhases(
      [
        { name: 'fails', timeoutMs: 1000, run: () => Promise.reject(new Error('no')) },
        {
          name: 'throws',
          timeoutMs: 1000,
          run: () => {
            throw new Error('no')
          },
        },
        { name: 'hangs', timeoutMs: 10, run: () => new Promise(() => undefined) },
        { name: 'last', timeoutMs: 1000, run: () => void ran.push('last') },
      ],
      log,
    )
    expect(clean).toBe(false)
    expect(ran).toEqual(['last'])
  })

  it('runs the phases one after the other', async () => {
    const ran: string[] = []
    const phase = (name: string) => ({
      name,
      timeoutMs: 1000,
      run: async () => {
        await Promise.resolve()
        ran.push(name)
      },
    })
    expect(await stopInPhases([phase('a'), phase('b'), phase('c')], log)).toBe(true)
    expect(ran).toEqual(['a', 'b', 'c'])
  })
})
