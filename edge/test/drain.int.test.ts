import { once } from 'node:events'
import { connect } from 'node:net'
import { until } from '@millrace/common/testing/until'
import { describe, expect, it } from 'vitest'
import { isRunning } from '../src/harness/proc.js'
import { segment } from './edge.js'
import { BODY_LENGTH, bytesOf, serveInTwo } from './origin.js'
import { twoWorkers } from './two-workers.js'

/** Whether somebody takes a connection there. */
async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

describe.each([1, 2])('an edge of %i workers that is told to stop', (workers) => {
  const at = twoWorkers()
  const readiness = async () => (await at.edge.admin('/readyz')).status

  it('waits no longer than drainTimeout for a transfer that does not go on: that one breaks, and no process is left', async () => {
    const half = serveInTwo(100_000)
    at.o1.behave(half.behaviour)
    const edge = await at.start({ workers, drainTimeout: '1s', fetch: { bodyTimeout: '30s' } })
    const pids = edge.pids()
    const stalled = await edge.open(`/o1${segment(1)}`)
    const ended = stalled.body.arrayBuffer().then(
      () => 'whole',
      () => 'broken',
    )
    const began = performance.now()
    const exit = await edge.stop()
    const took = performance.now() - began
    expect(await ended).toBe('broken')
    expect([took > 900, took < 5000]).toEqual([true, true])
    expect(exit).toEqual([0, null])
    expect(edge.lines.some(({ msg }) => msg === 'drainTimeout is over: transfers are cut')).toBe(true)
    await until('every process to be gone', () => !pids.some(isRunning), 2000)
  })

  it('ends a transfer that goes on, is not ready before its port refuses, and exits 0', async () => {
    const half = serveInTwo(100_000)
    at.o1.behave(half.behaviour)
    const edge = await at.start({ workers, drainTimeout: '20s' })
    const pids = edge.pids()
    const running = await edge.open(`/o1${segment(1)}`)
    expect([await readiness(), await listens(edge.port)]).toEqual([200, true])
    const stopped = edge.stop()
    await until('the port to refuse', async () => !(await listens(edge.port)))
    expect(await readiness()).toBe(503)
    half.release()
    expect(Buffer.from(await running.body.arrayBuffer()).equals(bytesOf(segment(1), BODY_LENGTH))).toBe(true)
    expect(await stopped).toEqual([0, null])
    expect(pids.some(isRunning)).toBe(false)
  })
})
