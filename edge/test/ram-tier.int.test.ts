import { randomBytes } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { until } from '@millrace/common/testing/until'
import { beforeEach, describe, expect, it } from 'vitest'
import { cacheFiles, segment, VIDEO } from './edge.js'
import { BODY_LENGTH, bytesOf, serveBytes } from './origin.js'
import { type Resource, serveResource } from './resource.js'
import { scene } from './scene.js'

const PLAYLIST = `/files/${VIDEO}/r1/video-720p.m3u8`

/** What buffers of this process take that something still holds. */
function bytesOutsideHeap(): number {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  collect()
  return process.memoryUsage().arrayBuffers
}

describe('the tiers of an edge', () => {
  const at = scene({ compress: false, stale: { ifError: '0s' } })
  const answers = async () => {
    const of = (tier: string) => at.edge.count('answers_total', { name: 'tier', value: tier })
    return { ram: await of('ram'), disk: await of('disk'), fill: await of('fill') }
  }
  /** Asks until the tier's copy is the one that answers: it is made behind an answer from disk. */
  const untilInRam = (path: string) =>
    until('an answer from RAM', async () => {
      const { ram } = await answers()
      const { headers } = await at.edge.get(path)
      return headers['x-cache'] === 'hit' && (await answers()).ram > ram
    })
  const playlist: Resource = { body: Buffer.from(''), headers: {} }
  beforeEach(() => {
    playlist.body = bytesOf('first', 2000)
    playlist.headers = { etag: '"1"', 'cache-control': 'max-age=60' }
    at.o1.behave(serveResource(playlist))
  })

  it('keep nothing in RAM that is larger than ram.maxObject, nor anything at all without a budget', async () => {
    at.o1.behave(serveBytes())
    for (const ram of [{ maxObject: '100KiB' }, { size: '0B' }]) {
      await at.restart({ ram })
      for (let i = 0; i < 6; i++) expect((await at.edge.get(`/o1${segment(1)}`)).body.equals(bytesOf(segment(1), BODY_LENGTH))).toBe(true)
      expect([(await answers()).ram, await at.edge.count('ram_objects')]).toEqual([0, 0])
    }
  })

  it('never take more RAM than their budget, bodies in other codings and what is being loaded included', async () => {
    // All of them fit as they are, but not with their coded bodies: half of each again.
    const texts = Array.from({ length: 12 }, () => Buffer.from(randomBytes(300_000).toString('hex')))
    const pathOf = (number: number) => `/files/${VIDEO}/r1/text-${number}.vtt`
    at.o1.behave((request, response) => {
      const body = texts.find((_, number) => request.url === pathOf(number))!
      response.writeHead(200, { 'content-length': body.length, 'content-type': 'text/vtt', 'cache-control': 'max-age=600' }).end(body)
    })
    await at.restart({ ram: { size: '8MiB' }, compress: true })
    const before = bytesOutsideHeap()
    for (let number = 0; number < texts.length; number++) {
      for (const coding of ['br', 'gzip']) {
        await until(`an answer in ${coding}`, async () => {
          const { headers } = await at.edge.get(`/o1${pathOf(number)}`, { 'accept-encoding': coding })
          return headers['content-encoding'] === coding
        })
      }
    }
    // Clients and origin hold some, too.
    await until('no more memory than the budget', () => bytesOutsideHeap() - before < (8 << 20) + (2 << 20))
    const [bytes, objects] = [await at.edge.count('ram_bytes'), await at.edge.count('ram_objects')]
    expect(bytes).toBeLessThanOrEqual(8 << 20)
    expect(objects).toBeGreaterThan(4)
    expect(bytes).toBeGreaterThan(objects * 600_000)
  })

  it('have no copy in RAM of what was purged', async () => {
    await at.edge.get(`/o1${PLAYLIST}`)
    await at.edge.idle()
    for (const scope of [{ scope: 'all' }, { scope: 'video', videoId: VIDEO }, { scope: 'revision', videoId: VIDEO, rev: 'r1' }]) {
      await untilInRam(`/o1${PLAYLIST}`)
      playlist.body = bytesOf(JSON.stringify(scope), 2000)
      await at.purge(scope)
      const after = await at.edge.get(`/o1${PLAYLIST}`)
      expect([after.headers['x-cache'], after.body.equals(playlist.body)]).toEqual(['miss', true])
      await at.edge.idle()
    }
    expect(await at.edge.count('misses_total', { name: 'cause', value: 'purged' })).toBe(3)
  })

  it('answer 410 from any tier once the video is blocked', async () => {
    await at.edge.get(`/o1${PLAYLIST}`)
    await untilInRam(`/o1${PLAYLIST}`)
    await at.purge({ scope: 'video', videoId: VIDEO, block: true })
    for (const path of [PLAYLIST, segment(1)]) {
      const gone = await at.edge.get(`/o1${path}`)
      expect([gone.status, gone.headers['x-cache'], gone.headers['cache-control']]).toEqual([410, 'refused', 'no-store'])
    }
  })

  it('have no copy in RAM of what was replaced', async () => {
    await at.edge.get(`/o1${PLAYLIST}`)
    await untilInRam(`/o1${PLAYLIST}`)
    playlist.body = bytesOf('second', 3000)
    playlist.headers = { ...playlist.headers, etag: '"2"' }
    at.forward(61_000)
    const replaced = await at.edge.get(`/o1${PLAYLIST}`)
    expect([replaced.headers['x-cache'], replaced.body.equals(playlist.body)]).toEqual(['miss', true])
    await at.edge.idle()
    for (let i = 0; i < 6; i++) {
      const answer = await at.edge.get(`/o1${PLAYLIST}`)
      expect([answer.headers['x-cache'], answer.headers.etag, answer.body.equals(playlist.body)]).toEqual(['hit', '"2"', true])
    }
  })

  it('have no copy in RAM of what was evicted from disk', async () => {
    at.o1.behave(serveBytes())
    await at.restart({ cache: { path: at.folder, size: '1MiB', maxObject: '512KiB' } })
    // How many of the requests are hits depends on when the object is stored.
    await until('a copy', async () => {
      await at.edge.get(`/o1${segment(1)}`)
      return (await at.edge.count('ram_objects')) === 1
    })
    for (let number = 2; number <= 6; number++) await at.edge.get(`/o1${segment(number)}`)
    await at.edge.idle()
    expect(await at.edge.count('ram_objects')).toBe(0)
    const again = await at.edge.get(`/o1${segment(1)}`)
    expect(again.headers['x-cache']).toBe('miss')
    expect(await at.edge.count('misses_total', { name: 'cause', value: 'evicted' })).toBe(1)
  })

  it('answer with the same bytes and fields from the fill, from disk and from RAM, whatever the query says', async () => {
    at.o1.behave(serveBytes(BODY_LENGTH, { 'cache-control': 'public, max-age=600' }))
    const seen = []
    for (let i = 0; i < 8; i++) {
      const answer = await at.edge.get(`/o1${segment(1)}?session=${i}&CMCD=br%3D3200`)
      await at.edge.idle()
      expect(answer.body.equals(bytesOf(segment(1), BODY_LENGTH))).toBe(true)
      const { age: _, date: __, 'x-cache': phase, 'cache-status': ___, ...fields } = answer.headers
      expect(phase).toBe(i === 0 ? 'miss' : 'hit')
      seen.push(fields)
    }
    for (const fields of seen) expect(fields).toEqual(seen[0])
    const { ram, disk, fill } = await answers()
    expect([fill, ram + disk]).toEqual([1, 7])
    expect(disk).toBeGreaterThanOrEqual(2)
    expect(ram).toBeGreaterThanOrEqual(1)
    expect(at.o1.requests).toEqual([segment(1)])
    expect((await cacheFiles(at.folder)).entries.length).toBe(1)
    expect(await at.edge.count('sent_bytes_total')).toBe(8 * BODY_LENGTH)
  })
})
