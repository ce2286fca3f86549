import { readdir, utimes, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Video } from '@millrace/common/contracts/cms-api'
import { stopInPhases } from '@millrace/common/lifecycle'
import { until } from '@millrace/common/testing/until'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { apiOf, event, log, TestFleet } from './fleet.js'

let fleet: TestFleet
beforeAll(async () => {
  fleet = await new TestFleet().start()
}, 60_000)
afterEach(() => fleet.stopCms())
afterAll(() => fleet.stop())

/** A way to Redis whose connections can fall silent without being closed, as when a host loses its power. */
async function relayTo(port: number) {
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('error', () => to.destroy())
      from.on('close', () => to.destroy())
      from.pipe(to)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fallSilent: () => {
      for (const socket of sockets) socket.unpipe().pause()
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

describe('the service', () => {
  it('finds new connections when those to Redis fall silent', async () => {
    const relay = await relayTo(fleet.redisServer.port)
    try {
      const api = apiOf((await fleet.startCms({ redis: { url: relay.url } })).url)
      relay.fallSilent()
      const { id, state } = await api.create()
      expect(state).toBe('queued')
      await until('the job', () => fleet.queued(`${id}-1`), 30_000)
      await fleet.say(event('taken', id, 1))
      await until('the event to be consumed', async () => (await api.video(id)).state === 'transcoding', 30_000)
    } finally {
      await fleet.stopCms()
      relay.close()
    }
  }, 90_000)

  it('stops cleanly while an origin hangs', async () => {
    const app = await fleet.startCms()
    const api = apiOf(app.url)
    const { id } = await api.create()
    fleet.origins[0].silent = true
    await api.call('DELETE', `/api/v1/videos/${id}`)
    await until('the origin to be asked', () => fleet.origins[0].ignored > 0)
    expect(await stopInPhases(app.phases, log)).toBe(true)
    fleet.origins[0].silent = false
  })

  it('removes the source of a deleted video that a crash had left, and no other', async () => {
    const first = await fleet.startCms()
    const upload = async () => (await (await apiOf(first.url).upload('bytes')).json()) as Video
    const [gone, kept] = [await upload(), await upload()]
    await apiOf(first.url).call('DELETE', `/api/v1/videos/${gone.id}`)
    await fleet.stopCms()
    const folder = join(fleet.folder, 'sources')
    await writeFile(join(folder, gone.id), 'bytes')
    for (const { id } of [gone, kept]) await utimes(join(folder, id), 1, 1)
    await fleet.startCms()
    await until('the leftover to be gone', async () => !(await readdir(folder)).includes(gone.id))
    expect(await readdir(folder)).toContain(kept.id)
  })
})
