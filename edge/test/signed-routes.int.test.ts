import { signRoute } from '@millrace/common/contracts/route'
import { until } from '@millrace/common/testing/until'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { segment, tempFolder, VIDEO } from './edge.js'
import { startOrigin, type TestOrigin } from './origin.js'
import { EdgeProcess } from './processes.js'
import { type Viewer, viewerOfEach } from './viewers.js'

const OLD = 'the-old-secret-of-the-tests-0123456789'
const NEW = 'the-new-secret-of-the-tests-0123456789'
const nowSeconds = () => Math.floor(Date.now() / 1000)
const sign = (given: { key?: string; kid?: string; exp?: number; rev?: string; videoId?: string } = {}) => {
  const { key = OLD, kid = 'old', exp = nowSeconds() + 3600, rev = 'r1', videoId = VIDEO } = given
  return signRoute({ origins: ['o1'], exp, kid, key: Buffer.from(key), videoId, rev })
}
const PLAYLIST = `/files/${VIDEO}/r1/main.m3u8`

describe('signed routes at an edge of two workers', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let edge: EdgeProcess
  let viewers: Viewer[] = []

  beforeAll(async () => {
    folder = await tempFolder()
    o1 = await startOrigin()
    edge = await EdgeProcess.start(folder.path, [o1], {
      workers: 2,
      routes: { keys: { old: OLD }, require: ['segment', 'init'], skew: '1s' },
    })
    viewers = await viewerOfEach(edge.port, edge.roles().workers)
    for (const viewer of viewers) expect((await viewer.get(`/${sign()}${segment(1)}`)).status).toBe(200)
  })
  afterEach(async () => {
    await edge.configure({ routes: { keys: { old: OLD }, require: ['segment', 'init'], skew: '1s' } })
    await edge.reload()
  })
  afterAll(async () => {
    for (const viewer of viewers) viewer.close()
    await edge.end()
    await o1.stop()
    await folder.remove()
  })

  /** Status and code at each worker; a code that they don't agree on shows. */
  const answers = async (path: string) => {
    const all = await Promise.all(
      viewers.map(async (viewer) => {
        const { status, headers, body } = await viewer.get(path)
        if (status === 200) return [status]
        expect([headers['content-type'], headers['x-cache'], headers['cache-control']]).toEqual([
          'application/problem+json',
          'refused',
          'no-store',
        ])
        return [status, JSON.parse(body.toString()).code]
      }),
    )
    expect(all[0]).toEqual(all[1])
    return all[0]
  }

  it.each([
    ['no signature', () => 'o1', 'route-unsigned'],
    ['an expired signature', () => sign({ exp: nowSeconds() - 5 }), 'route-expired'],
    ['a signature of another video', () => sign({ videoId: VIDEO.replace('v8', 'v9') }), 'route-bad-signature'],
    ['a signature of another revision', () => sign({ rev: 'r2' }), 'route-bad-signature'],
    ['a signature by another key of that name', () => sign({ key: NEW }), 'route-bad-signature'],
    ['a key that is not known', () => sign({ key: NEW, kid: 'new' }), 'route-unknown-key'],
    ['a route that was changed after it was signed', () => sign().replace(/^o1/, 'o1.o2'), 'route-bad-signature'],
  ])('are refused with %s, by both, also for what is cached', async (_what, route, code) => {
    expect(await answers(`/${route()}${segment(1)}`)).toEqual([403, code])
  })

  it('are refused from the second on in which they expire, also those that were found good', async () => {
    const exp = nowSeconds() + 1
    const path = `/${sign({ exp })}${segment(1)}`
    const ask = async (viewer: Viewer) => {
      const { status, body } = await viewer.get(path)
      return status === 200 ? 'good' : JSON.parse(body.toString()).code
    }
    for (const viewer of viewers) expect(await ask(viewer)).toBe('good')
    for (const viewer of viewers) {
      const code = await until('its expiry', async () => {
        const answer = await ask(viewer)
        return answer !== 'good' && answer
      })
      expect(code).toBe('route-expired')
      expect(Date.now()).toBeGreaterThanOrEqual((exp + 1) * 1000)
    }
  })

  it('are demanded of the listed classes alone; a wrong signature is refused everywhere', async () => {
    expect(await answers(`/o1${PLAYLIST}`)).toEqual([200])
    expect(await answers(`/o1${segment(1)}`)).toEqual([403, 'route-unsigned'])
    expect(await answers(`/o1/dash/${VIDEO}/r1/init-f1-v1-x3.mp4`)).toEqual([403, 'route-unsigned'])
    expect(await answers(`/${sign({ key: NEW })}${PLAYLIST}`)).toEqual([403, 'route-bad-signature'])
  })

  it('of a new key hold beside those of the old one, and alone when that is taken away, by both from the reload on', async () => {
    const [older, newer] = [`/${sign()}${segment(1)}`, `/${sign({ key: NEW, kid: 'new' })}${segment(1)}`]
    await edge.configure({ routes: { keys: { old: OLD, new: NEW }, require: true } })
    expect((await edge.reload()).msg).toBe('configuration reloaded')
    for (const path of [older, newer]) expect(await answers(path)).toEqual([200])
    await edge.configure({ routes: { keys: { new: NEW }, require: true } })
    expect((await edge.reload()).msg).toBe('configuration reloaded')
    expect(await answers(newer)).toEqual([200])
    expect(await answers(older)).toEqual([403, 'route-unknown-key'])
    expect(await answers(`/o1${PLAYLIST}`)).toEqual([403, 'route-unsigned'])
  })
})
