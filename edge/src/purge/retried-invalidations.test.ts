import { MillraceError } from '@millrace/common/errors'
import { until } from '@millrace/common/testing/until'
import { describe, expect, it } from 'vitest'
import { RetriedInvalidations } from './retried-invalidations.js'

const failure = (code: string) => new MillraceError(code, { code, source: 'internal', retryable: true })

describe('RetriedInvalidations', () => {
  /** A keeper that fails so for as long as the test says. */
  function scene(maxKeys?: number) {
    const state = { error: undefined as Error | undefined, told: [] as string[], faults: [] as unknown[] }
    const invalidations = new RetriedInvalidations({
      invalidate: async (keys) => {
        if (state.error) throw state.error
        state.told.push(...keys)
      },
      onFault: (error) => state.faults.push(error),
      retryMs: 1,
      ...(maxKeys !== undefined && { maxKeys }),
    })
    return { state, invalidations }
  }

  it.each(['purge-not-saved', 'purge-incomplete'])('reports %s, and doubts nothing: it is in force', async (code) => {
    const { state, invalidations } = scene()
    state.error = failure(code)
    await invalidations.invalidate(['o1 /a'])
    expect([state.faults, invalidations.doubtful('o1 /a')]).toEqual([[state.error], false])
  })

  it('doubts what it could not tell, until it can', async () => {
    const { state, invalidations } = scene()
    state.error = failure('edge-busy')
    const keys = Array.from({ length: 40 }, (_, i) => `o1 /${i}`)
    for (const key of keys) await invalidations.invalidate([key])
    expect([state.faults.length, keys.every((key) => invalidations.doubtful(key)), invalidations.doubtful('o1 /x')]).toEqual([
      40,
      true,
      false,
    ])
    state.error = undefined
    await until('no doubt', () => !keys.some((key) => invalidations.doubtful(key)))
    expect(state.told).toEqual(keys)
    expect(state.faults.length).toBe(40)
  })

  it('gives up the oldest beyond its bound, and says so', async () => {
    const { state, invalidations } = scene(2)
    state.error = failure('edge-busy')
    for (const key of ['o1 /a', 'o1 /b', 'o1 /c']) await invalidations.invalidate([key])
    expect(['o1 /a', 'o1 /b', 'o1 /c'].map((key) => invalidations.doubtful(key))).toEqual([false, true, true])
    expect(state.faults.length).toBe(4)
  })
})
