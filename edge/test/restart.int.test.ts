import { stat } from 'node:fs/promises'
import { until } from '@millrace/common/testing/until'
import { beforeEach, describe, expect, it } from 'vitest'
import { cacheFiles, segment, VIDEO } from './edge.js'
import { BODY_LENGTH, bytesOf, serveBytes, serveInTwo } from './origin.js'
import { scene } from './scene.js'

const numbers = [1, 2, 3, 4, 5, 6]

describe('an edge that starts again over its folder', () => {
  const at = scene()
  beforeEach(() => at.o1.behave(serveBytes(BODY_LENGTH, { 'cache-control': 'max-age=600' })))
  const ask = async (number: number) => {
    const { status, headers, body } = await at.edge.get(`/o1${segment(number)}`)
    if (status === 200) expect(body.equals(bytesOf(segment(number), BODY_LENGTH))).toBe(true)
    return headers['x-cache']
  }
  const fill = async () => {
    for (const number of numbers) {
      expect(await ask(number)).toBe('miss')
      // Stored before the next one, so that their order is certain.
      await at.edge.idle()
    }
    expect(await at.edge.count('cache_objects')).toBe(numbers.length)
  }

  it('has nothing of a fill that was cut off', async () => {
    // More than is held back before the first write.
    const { behaviour, release } = serveInTwo(280_000)
    at.o1.behave(behaviour)
    const cut = at.edge.get(`/o1${segment(1)}`).catch(() => 'broken')
    await until('the first part on the disk', async () => {
      const { tmp } = await cacheFiles(at.folder)
      return tmp.length === 1 && (await stat(tmp[0]!)).size > 100_000
    })
    await at.restart()
    expect(await cut).toBe('broken')
    const { entries, tmp } = await cacheFiles(at.folder)
    expect([entries, tmp, await at.edge.count('cache_objects')]).toEqual([[], [], 0])
    release()
    at.o1.behave(serveBytes())
    for (const phase of ['miss', 'hit']) {
      expect(await ask(1)).toBe(phase)
      await at.edge.idle()
    }
  })

  it('serves nothing of what was purged, nor what is blocked', async () => {
    await fill()
    await at.purge({ scope: 'revision', videoId: VIDEO, rev: 'r1' })
    await at.restart()
    expect(await ask(1)).toBe('miss')
    expect(await at.edge.count('misses_total', { name: 'cause', value: 'purged' })).toBe(1)
    await at.purge({ scope: 'video', videoId: VIDEO, block: true })
    await at.restart()
    expect((await at.edge.get(`/o1${segment(1)}`)).status).toBe(410)
  })

  it('counts a lifetime on while it is down', async () => {
    await fill()
    at.forward(590_000)
    await at.restart()
    const { headers } = await at.edge.get(`/o1${segment(1)}`)
    expect([headers['x-cache'], Math.round(Number(headers.age) / 10)]).toEqual(['hit', 59])
    at.forward(20_000)
    expect(await ask(1)).not.toBe('hit')
  })

  it('hits at once, with its origins down and each entry as it was', async () => {
    await fill()
    const before = await at.edge.get(`/o1${segment(3)}`)
    const bytes = await at.edge.count('cache_bytes')
    await Promise.all([at.o1.stop(), at.o2.stop()])
    await at.restart()
    const after = await at.edge.get(`/o1${segment(3)}`)
    for (const name of ['etag', 'content-type', 'cache-control', 'x-origin', 'x-cache'])
      expect(after.headers[name]).toBe(before.headers[name])
    for (const number of numbers) expect(await ask(number)).toBe('hit')
    expect(await at.edge.count('cache_objects')).toBe(numbers.length)
    expect(await at.edge.count('cache_bytes')).toBe(bytes)
  })

  it('keeps its order of use: what was used last stays longest', async () => {
    await fill()
    for (const number of [4, 2]) expect(await ask(number)).toBe('hit')
    // Room for three of them.
    await at.restart({ cache: { path: at.folder, size: '1MiB', maxObject: '512KiB' } })
    await until('the smaller budget', async () => (await at.edge.count('cache_objects')) === 3)
    await Promise.all([at.o1.stop(), at.o2.stop()])
    for (const number of [2, 4, 6]) expect(await ask(number)).toBe('hit')
    for (const number of [1, 3, 5]) expect(await ask(number)).toBe('error')
    expect((await cacheFiles(at.folder)).diskBytes).toBeLessThanOrEqual(1 << 20)
  })

  it('keeps its order of use also from RAM hits alone', async () => {
    await fill()
    const ram = () => at.edge.count('answers_total', { name: 'tier', value: 'ram' })
    await until('hits from RAM', async () => (await ask(1)) === 'hit' && (await ram()) > 0)
    for (const number of [2, 3, 4, 5, 6]) await ask(number)
    // Uses are counted once a second.
    at.forward(2000)
    const before = await ram()
    await ask(1)
    expect(await ram()).toBe(before + 1)
    await at.restart({ cache: { path: at.folder, size: '1MiB', maxObject: '512KiB' } })
    await until('the smaller budget', async () => (await at.edge.count('cache_objects')) === 3)
    expect(await ask(1)).toBe('hit')
  })
})
