import { until } from '@millrace/common/testing/until'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { isRunning } from '../src/harness/proc.js'
import { startTestEdge, tempFolder, VIDEO } from './edge.js'
import { BODY_LENGTH, bytesOf, startOrigin, type TestOrigin } from './origin.js'
import { EdgeProcess } from './processes.js'
import { type Viewer, viewerOfEach } from './viewers.js'

const OTHER_VIDEO = '01hzy3v8k2m4n6p8q0r2s4t6v9'
const of = (video: string, rev: string) => `/o1/dash/${video}/${rev}/fragment-1-f1-v1-x3.m4s`
const FIRST = of(VIDEO, 'r1')
const SECOND = of(VIDEO, 'r2')
const OTHER = of(OTHER_VIDEO, 'r1')
const PAGE = '/site/page?id=1'
const OTHER_PAGE = '/site/page?id=2'
const ALL = [FIRST, SECOND, OTHER, PAGE, OTHER_PAGE]

const SCOPES: [string, object, string[]][] = [
  ['an exact URL', { scope: 'url', url: PAGE }, [PAGE]],
  ['a revision', { scope: 'revision', videoId: VIDEO, rev: 'r1' }, [FIRST]],
  ['a video', { scope: 'video', videoId: VIDEO }, [FIRST, SECOND]],
  ['everything', { scope: 'all' }, ALL],
]

describe('a purge at an edge of two workers', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let edge: EdgeProcess
  let viewers: Viewer[] = []
  let version = 0

  beforeAll(async () => {
    folder = await tempFolder()
    o1 = await startOrigin()
    o1.behave((request, response) => {
      const body = bytesOf(`${request.url} ${version}`, BODY_LENGTH)
      response.writeHead(200, { 'content-length': body.length, 'content-type': 'video/mp4', 'cache-control': 'max-age=600' }).end(body)
    })
    edge = await EdgeProcess.start(folder.path, [o1], { workers: 2, paths: [{ prefix: '/site', mode: 'generic', origin: 'o1' }] })
  })
  beforeEach(async () => {
    await purge({ scope: 'all' })
    version++
    viewers = await viewerOfEach(edge.port, edge.roles().workers)
    // Twice, so that each worker has them in memory.
    for (const viewer of [...viewers, ...viewers]) {
      for (const path of ALL) expect(await versionOf(viewer, path)).toBe(version)
      await edge.idle()
    }
    version++
  })
  afterEach(() => {
    for (const viewer of viewers) viewer.close()
  })
  afterAll(async () => {
    await edge.end()
    await o1.stop()
    await folder.remove()
  })

  const purge = async (scope: object, token?: string) => {
    const { status, text } = await edge.admin('/v1/purge', {
      method: 'POST',
      body: { version: 1, ...scope },
      ...(token !== undefined && { token }),
    })
    return { status, json: JSON.parse(text) as { workers?: number; code?: string } }
  }
  /** Which version of its bytes a path is served with now; throws for anything else. */
  const versionOf = async (viewer: Viewer, path: string) => {
    const { status, body } = await viewer.get(path)
    const data = path.startsWith('/o1/') ? path.slice(3) : path
    const found = [version, version - 1, version - 2].find((one) => body.equals(bytesOf(`${data} ${one}`, BODY_LENGTH)))
    if (status !== 200 || found === undefined) throw new Error(`${path}: ${status}, ${body.length} bytes of no version`)
    return found
  }
  /** After a purge of these: by both workers. */
  const expectPurged = async (purged: string[]) => {
    for (const viewer of viewers) {
      for (const path of ALL) expect([path, await versionOf(viewer, path)]).toEqual([path, purged.includes(path) ? version : version - 1])
    }
  }

  it.each([
    ['without a token', ''],
    ['with a wrong token', 'another-token'],
  ])('is refused %s, and nothing is purged', async (_what, token) => {
    expect(await purge({ scope: 'all' }, token)).toMatchObject({ status: 401, json: { code: 'unauthorized' } })
    await expectPurged([])
  })

  it.each(SCOPES)('of %s is in force at both when it is answered, and covers no more', async (_what, scope, purged) => {
    expect(await purge(scope)).toMatchObject({ status: 200, json: { workers: 2 } })
    await expectPurged(purged)
  })

  it('is in force for each request that begins after its answer, while viewers ask on and on', async () => {
    let answeredAt = Number.POSITIVE_INFINITY
    let late = 0
    const watch = async (viewer: Viewer) => {
      for (let after = 0; after < 20; ) {
        const began = performance.now()
        const found = await versionOf(viewer, FIRST)
        if (began <= answeredAt) continue
        after++
        if (found !== version) late++
      }
    }
    const watching = Promise.all(viewers.map(watch))
    await purge({ scope: 'revision', videoId: VIDEO, rev: 'r1' })
    answeredAt = performance.now()
    await watching
    expect(late).toBe(0)
  })

  it('is answered also with a worker that hangs, which is killed for it; its successor has the purge, too', async () => {
    const [hung, well] = edge.roles().workers as [number, number]
    process.kill(hung, 'SIGSTOP')
    const began = performance.now()
    expect(await purge({ scope: 'revision', videoId: VIDEO, rev: 'r1' })).toMatchObject({ status: 200, json: { workers: 1 } })
    expect(performance.now() - began).toBeLessThan(5000)
    const late = () => edge.metric('millrace_edge_child_restarts_total', { name: 'reason', value: 'late' })
    await until('its end', async () => !isRunning(hung) && (await late()) === 1)
    const roles = await edge.replaced(hung)
    expect(roles.workers).toContain(well)
    for (const viewer of viewers) viewer.close()
    viewers = await viewerOfEach(edge.port, roles.workers)
    await expectPurged([FIRST])
    expect(await late()).toBe(1)
  })

  it.each(SCOPES)('of %s outlives a kill -9 right after its answer', async (_what, scope, purged) => {
    await purge(scope)
    await edge.kill()
    for (const viewer of viewers) viewer.close()
    await edge.start()
    viewers = await viewerOfEach(edge.port, edge.roles().workers)
    await expectPurged(purged)
  })

  it('that blocks a video makes both answer 410, also after a restart and a purge of everything', async () => {
    const refusals = async (path: string) =>
      Promise.all(
        viewers.map(async (viewer) => {
          const { status, body } = await viewer.get(path)
          return [status, status === 200 ? '' : JSON.parse(body.toString()).code]
        }),
      )
    await purge({ scope: 'video', videoId: OTHER_VIDEO, block: true })
    const gone = [410, 'video-deleted']
    expect(await refusals(OTHER)).toEqual([gone, gone])
    await purge({ scope: 'all' })
    await edge.stop()
    for (const viewer of viewers) viewer.close()
    await edge.start()
    viewers = await viewerOfEach(edge.port, edge.roles().workers)
    expect(await refusals(OTHER)).toEqual([gone, gone])
    expect(await refusals(of(OTHER_VIDEO, 'r2'))).toEqual([gone, gone])
    expect((await refusals(FIRST)).map(([status]) => status)).toEqual([200, 200])
  })
})

it('a purge is refused with 403 where no token is configured', async () => {
  const folder = await tempFolder()
  const origin = await startOrigin()
  const edge = await startTestEdge(folder.path, [origin])
  try {
    const answer = await fetch(`${edge.adminUrl}/v1/purge`, { method: 'POST', body: JSON.stringify({ version: 1, scope: 'all' }) })
    expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([403, 'admin-token-missing'])
  } finally {
    await edge.stop()
    await origin.stop()
    await folder.remove()
  }
})
