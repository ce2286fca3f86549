import { once } from 'node:events'
import { createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { cacheFiles, segment, tempFolder } from './edge.js'
import { BODY_LENGTH, bytesOf, serveBytes, serveInTwo, startOrigin, type TestOrigin } from './origin.js'
import { EdgeProcess } from './processes.js'

describe.each([1, 2])('an edge of %i workers that is killed', (workers) => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let edge: EdgeProcess

  beforeEach(async () => {
    folder = await tempFolder()
    o1 = await startOrigin()
    edge = await EdgeProcess.start(folder.path, [o1], { workers })
  })
  afterEach(async () => {
    await edge.end()
    await o1.stop()
    await folder.remove()
  })

  it('in mid-fill leaves no process and no port behind, and has its cache when it is started again at once', async () => {
    for (const number of [1, 2, 3]) await edge.get(`/o1${segment(number)}`)
    await edge.idle()
    const half = serveInTwo(100_000)
    o1.behave(half.behaviour)
    const broken = await edge.open(`/o1${segment(4)}`)
    const ended = broken.body.arrayBuffer().then(
      () => 'whole',
      () => 'broken',
    )
    const { pid } = edge
    await edge.kill()
    expect(await ended).toBe('broken')
    for (const port of [edge.port, edge.adminPort]) {
      const probe = createServer().listen(port, '127.0.0.1')
      await once(probe, 'listening')
      probe.close()
      await once(probe, 'close')
    }
    o1.behave(serveBytes())
    await edge.start()
    expect(edge.pid).not.toBe(pid)
    for (const [number, phase] of [
      [1, 'hit'],
      [2, 'hit'],
      [3, 'hit'],
      [4, 'miss'],
    ] as const) {
      const { headers, body } = await edge.get(`/o1${segment(number)}`)
      expect([number, headers['x-cache'], body.equals(bytesOf(segment(number), BODY_LENGTH))]).toEqual([number, phase, true])
    }
    await edge.idle()
    expect(await cacheFiles(edge.cachePath)).toMatchObject({ entries: { length: 4 }, tmp: [] })
    expect(await edge.stop()).toEqual([0, null])
  })
})
