import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { segment, tempFolder } from './edge.js'
import { type Behaviour, serveBytes, serveStatus, startOrigin, type TestOrigin } from './origin.js'
import { EdgeProcess } from './processes.js'
import { type Viewer, viewerOfEach } from './viewers.js'

describe('an edge of two workers over two origins', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let o2: TestOrigin
  let edge: EdgeProcess
  let viewers: Viewer[] = []

  beforeEach(async () => {
    folder = await tempFolder()
    ;[o1, o2] = [await startOrigin(), await startOrigin()]
  })
  afterEach(async () => {
    for (const viewer of viewers) viewer.close()
    await edge.end()
    await Promise.all([o1.stop(), o2.stop()])
    await folder.remove()
  })

  const start = async (health: Record<string, unknown>) => {
    edge = await EdgeProcess.start(folder.path, [o1, o2], { workers: 2, health: { failures: 2, coolDown: '10m', ...health } })
    viewers = await viewerOfEach(edge.port, edge.roles().workers)
  }
  /** Who serves a miss at each worker. */
  const served = async (number: number) => {
    const by: unknown[] = []
    for (const [index, viewer] of viewers.entries()) {
      const { status, headers } = await viewer.get(`/o1.o2${segment(number * 10 + index)}`)
      by.push(status === 200 ? headers['x-origin'] : status)
    }
    return by
  }

  it('asks a failing origin of a route no more, at either worker, once its circuit is open', async () => {
    await start({ probe: false })
    o1.behave(serveStatus(500))
    for (const number of [1, 2, 3, 4]) expect(await served(number)).toEqual(['o2', 'o2'])
    expect(o1.requests.length).toBe(2)
  })

  it('lets active probes alone take an origin out of the way of misses, and back again', async () => {
    const probed =
      (status: number): Behaviour =>
      (request, response) =>
        (request.method === 'HEAD' ? serveStatus(status) : serveBytes())(request, response)
    o1.behave(probed(503))
    await start({ probe: { interval: '100ms', timeout: '1s' } })
    await until('o1 to be down', () => edge.lines.some((line) => line.origin === 'o1' && line.msg.includes('asked last')))
    expect(await served(1)).toEqual(['o2', 'o2'])
    o1.behave(probed(200))
    await until('o1 to be back', () => edge.lines.some((line) => line.origin === 'o1' && line.msg.includes('answers again')))
    expect(await served(2)).toEqual(['o1', 'o1'])
  })
})
