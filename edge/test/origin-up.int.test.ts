import { until } from '@millrace/common/testing/until'
import { request } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { segment, tempFolder } from './edge.js'
import { serveStatus, startOrigin, type TestOrigin } from './origin.js'
import { EdgeProcess } from './processes.js'

describe.each([1, 2])('origin_up of an edge of %i workers', (workers) => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let o2: TestOrigin
  let edge: EdgeProcess

  beforeEach(async () => {
    folder = await tempFolder()
    ;[o1, o2] = [await startOrigin(), await startOrigin()]
    const paths = [{ prefix: '/app', mode: 'generic', origin: 'o1' }]
    edge = await EdgeProcess.start(folder.path, [o1, o2], { workers, paths, health: { probe: false, failures: 1, coolDown: '10m' } })
  })
  afterEach(async () => {
    await edge.end()
    await Promise.all([o1.stop(), o2.stop()])
    await folder.remove()
  })

  /** By origin. */
  const up = async () => {
    const { text } = await edge.admin('/metrics')
    return Object.fromEntries(
      [...text.matchAll(/^millrace_edge_origin_up\{[^}]*origin="(\w+)"[^}]*\} (\d)$/gm)].map(([, id, value]) => [id, value]),
    )
  }
  const fail = async (id: 'o1' | 'o2') => {
    const origin = id === 'o1' ? o1 : o2
    origin.behave(serveStatus(500))
    await edge.get(`/${id}${segment(1)}`)
    await until(`${id} to be down`, async () => (await up())[id] === '0')
  }

  it('is 1 again when a reload gives the origin another address', async () => {
    await fail('o1')
    const moved = await startOrigin()
    await edge.configure({ origins: [{ id: 'o1', url: moved.url }] })
    await edge.reload()
    await until('o1 to be up, alone', async () => JSON.stringify(await up()) === '{"o1":"1"}')
    await moved.stop()
  })

  it('goes with its origin', async () => {
    await fail('o2')
    await edge.configure({ origins: [{ id: 'o1', url: o1.url }] })
    await edge.reload()
    await until('o1 alone', async () => JSON.stringify(await up()) === '{"o1":"1"}')
  })

  it.runIf(workers > 1)('is not what a worker thinks of it by what passes by the cache', async () => {
    await o1.stop()
    const { body } = await request(`${edge.url}/app/a`, { method: 'POST' })
    await body.dump()
    await until('the circuit', () => edge.lines.some((line) => line.origin === 'o1' && line.msg.includes('asked last')))
    await edge.metric('millrace_edge_origin_up')
    expect(await up()).toEqual({ o1: '1', o2: '1' })
  })
})
