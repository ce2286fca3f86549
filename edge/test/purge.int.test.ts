import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startAdminServer } from '@millrace/common/metrics/admin-server'
import { createRegistry } from '@millrace/common/metrics/registry'
import { request } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { adminRoutes } from '../src/admin/routes.js'
import { carryOut } from '../src/purge/carry-out.js'
import { PurgeLog } from '../src/purge/log.js'
import type { PurgeRecord } from '../src/purge/record.js'
import { scopeOf } from '../src/purge/scope.js'
import { PurgeTable } from '../src/purge/table.js'

const TOKEN = 'an-admin-token-of-the-tests'
const VIDEO = '01hzy3v8k2m4n6p8q0r2s4t6v8'
const segment = `/dash/${VIDEO}/r1/fragment-1-f1-v1-x3.m4s`

describe('a purge over the admin API', () => {
  let disk: string
  let stop: (() => Promise<void>)[]
  beforeEach(async () => {
    disk = await mkdtemp(join(tmpdir(), 'millrace-edge-'))
    stop = []
  })
  afterEach(async () => {
    for (const one of stop) await one()
    await rm(disk, { recursive: true })
  })

  /** Keeper, admin listener and one worker's view, with `confirm` between them. */
  const start = async (confirm: (record: PurgeRecord) => Promise<void> = async () => undefined) => {
    const table = new PurgeTable()
    const { log } = await PurgeLog.open({ disks: [disk], table, now: Date.now, onFault: (_disk, error) => expect(error).toBeUndefined() })
    const worker = new PurgeTable()
    worker.restore(table.snapshot())
    const tell = async (record: PurgeRecord) => {
      await confirm(record)
      worker.apply(record)
      return 1
    }
    const admin = await startAdminServer({
      listen: { host: '127.0.0.1', port: 0 },
      registry: createRegistry({ service: 'edge', id: 'e1' }),
      ready: {},
      handle: adminRoutes({
        token: TOKEN,
        status: () => Promise.reject(new Error('not asked')),
        config: () => ({}),
        origins: () => [],
        purge: (asked) =>
          carryOut(
            scopeOf(asked, () => undefined),
            { log, tell },
          ),
        onError: () => undefined,
        purgeTimeoutMs: 50,
      }),
    })
    stop.push(admin.close, () => log.close())
    const purge = async (body: object) => {
      const answer = await request(`http://127.0.0.1:${admin.address.port}/v1/purge`, {
        method: 'POST',
        headers: { authorization: `Bearer ${TOKEN}` },
        body: JSON.stringify({ version: 1, ...body }),
      })
      return { status: answer.statusCode, json: (await answer.body.json()) as { code?: string; generation?: number } }
    }
    return { table, worker, purge }
  }

  it('is not answered as done before every worker has it, and holds all the same', async () => {
    let confirm!: () => void
    const { table, worker, purge } = await start(() => new Promise((resolve) => (confirm = resolve)))
    const before = table.generation
    expect(await purge({ scope: 'video', videoId: VIDEO })).toMatchObject({ status: 503, json: { code: 'purge-timeout' } })
    expect(table.covers({ key: segment, generation: before })).toBe(true)
    expect(worker.covers({ key: segment, generation: before })).toBe(false)
    confirm()
    expect((await start()).table.covers({ key: segment, generation: before })).toBe(true)
  })

  it.each([
    ['all', { scope: 'all' }, true],
    ['a video', { scope: 'video', videoId: VIDEO }, false],
    ['a revision', { scope: 'revision', videoId: VIDEO, rev: 'r1' }, false],
    ['a URL', { scope: 'url', url: `/o1${segment}` }, false],
  ])('of %s is in force in every process, and after a restart', async (_what, body, everything) => {
    const { table, worker, purge } = await start()
    const before = table.generation
    const { status, json } = await purge(body)
    expect(status).toBe(200)
    const again = await start()
    for (const view of [table, worker, again.table, again.worker]) {
      expect(view.generation).toBe(json.generation)
      expect(view.covers({ key: segment, generation: before })).toBe(true)
      expect(view.covers({ key: segment, generation: view.generation })).toBe(false)
      expect(view.covers({ key: segment.replace(VIDEO, VIDEO.replace('v8', 'v9')), generation: before })).toBe(everything)
    }
  })

  it('that blocks a video keeps it blocked over a restart and a purge of everything', async () => {
    const { purge } = await start()
    await purge({ scope: 'video', videoId: VIDEO, block: true })
    await purge({ scope: 'all' })
    const { table, worker } = await start()
    expect([table.blocks(VIDEO), worker.blocks(VIDEO)]).toEqual([true, true])
  })
})
