import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ChildSlot } from '../src/supervise/child-slot.js'
import { RESTART_LIMITS } from '../src/supervise/restart-policy.js'

describe('a keeper that is still starting', () => {
  let slot: ChildSlot
  const faults: Error[] = []

  beforeEach(() => {
    faults.length = 0
    slot = new ChildSlot({
      role: 'keeper',
      name: 'keeper',
      entry: fileURLToPath(new URL('fixtures/slow-child.mjs', import.meta.url)),
      execArgv: [],
      limits: RESTART_LIMITS,
      times: { pingEveryMs: 2000, pingTimeoutMs: 10_000 },
      message: (id) => ({
        role: 'keeper',
        name: 'keeper',
        id,
        number: 0,
        socketPath: '/nowhere/keeper.sock',
        workers: ['worker-1.1'],
        config: {},
      }),
      handlers: {},
      onChange: () => undefined,
      onReady: () => undefined,
      onLastMetrics: () => undefined,
      onExit: () => undefined,
      onRestart: () => undefined,
      spare: () => false,
      onGiveUp: (error) => faults.push(error),
      onFault: (error) => faults.push(error),
    })
    slot.start()
  })
  afterEach(async () => {
    await slot.stop(0)
    expect(faults).toEqual([])
  })

  it('refuses what it is not ready for as worth another try', async () => {
    await expect(slot.ask('purge')).rejects.toMatchObject({ code: 'not-ready', status: 503, retryable: true })
    await slot.ask('status')
    await slot.ready()
    expect(await slot.ask('purge')).toBe('done')
    await expect(slot.ask('pruge')).rejects.toMatchObject({ code: 'no-such-method', status: 500, retryable: false })
  })

  it('has the workers that it was told of meanwhile', async () => {
    slot.tell('workers', [])
    slot.tell('workers', ['worker-1.2'])
    await slot.ask('status')
    await slot.ready()
    expect(await slot.ask('status')).toEqual(['worker-1.2'])
  })
})
