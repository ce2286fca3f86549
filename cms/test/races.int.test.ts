import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseConfig } from '@millrace/common/config/load'
import { newVideoId } from '@millrace/common/contracts/ids'
import { until } from '@millrace/common/testing/until'
import { type KyselyPlugin, sql } from 'kysely'
import { Agent } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { configSchema, type OriginConfig } from '../src/config.js'
import { listReplicas } from '../src/db/asset-store.js'
import { type OpenDatabase, openDatabase } from '../src/db/open.js'
import { dueSweeps } from '../src/db/sweep-store.js'
import { findOpenRun, findVideo, insertVideo, updateVideo } from '../src/db/video-store.js'
import { applyEvent } from '../src/events/apply.js'
import { OriginClient } from '../src/nodes/origin-client.js'
import { Replicator } from '../src/placement/reconcile.js'
import { AssetDescriber } from '../src/playback/describe.js'
import { DEFAULT_PRESET } from '../src/presets/default.js'
import { sweepOrigins } from '../src/purge/sweep.js'
import { VideoService } from '../src/videos/service.js'
import { FakeOrigin, ORIGIN_TOKEN } from './fakes.js'
import { event, log, TestFleet } from './fleet.js'

// What happens between two steps of one party when another one acts: on a real database, with origins that are asked over HTTP.
const fleet = new TestFleet()
fleet.redisServer = { url: 'redis://127.0.0.1:1', port: 1, restart: async () => undefined, stop: async () => undefined }
const spare = new FakeOrigin('o3')
const [o1, o2] = fleet.origins
const dispatcher = new Agent()
const client = new OriginClient(ORIGIN_TOKEN, dispatcher)
let folder: string
let database: OpenDatabase
let clock = Date.parse('2026-01-01T00:00:00Z')
const now = () => new Date(clock)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-races-'))
  database = await openDatabase({ path: folder }, log, () => undefined)
  await Promise.all([o1, o2, spare].map((origin) => origin.start()))
}, 120_000)
afterAll(async () => {
  await dispatcher.destroy()
  await Promise.all([o1, o2, spare].map((origin) => origin.stop()))
  await database.close()
  await rm(folder, { recursive: true, force: true })
})

beforeEach(async () => {
  await database.db.deleteFrom('videos').execute()
})

const target = ({ id, url }: FakeOrigin): OriginConfig => ({
  id,
  dataUrl: url,
  controlUrl: url,
  rsyncUrl: 'rsync://127.0.0.1:1',
  weight: 1,
})
const isHealthy = () => true

async function create(): Promise<string> {
  const id = newVideoId()
  const source = { kind: 'url' as const, name: 'a.mp4', url: 'http://example.com/a.mp4' }
  await insertVideo(database.db, { id, title: 'a', source, preset: DEFAULT_PRESET, now: now() })
  return id
}

const say = (...args: Parameters<typeof event>) =>
  applyEvent(database.db, event(...args), { now: now(), origins: ['o1', 'o2'], wantedReplicas: 2 })

function sweep(db = database.db, origins = [o1, o2]): Promise<void> {
  return sweepOrigins({
    db,
    client,
    isHealthy,
    now,
    log,
    origins: origins.map(target),
    supersededGraceMs: 1000,
    onRemoved: () => undefined,
  })
}

function replicator(origins: FakeOrigin[]): Replicator {
  const { db } = database
  const targets = origins.map(target)
  const describer = new AssetDescriber({ db, client, origins: targets, isHealthy, log })
  const describe = (videoId: string, rev: string) => describer.describe(videoId, rev)
  return new Replicator({
    db,
    client,
    isHealthy,
    describe,
    now,
    log,
    origins: targets,
    wantedReplicas: origins.length,
    onChange: () => undefined,
  })
}

async function oneRound(replicas: Replicator): Promise<void> {
  await replicas.round()
  await until('the pulls to end', () => replicas.pulls === 0)
}

async function published(heldBy: FakeOrigin[]): Promise<string> {
  const id = await create()
  for (const origin of heldBy) origin.assets.add(`${id}/r1`)
  await say('published', id, 1, { heldBy: heldBy.map((origin) => origin.id) })
  return id
}

/** While a table has another name, whatever needs it fails: a database that breaks in between. */
async function without<T>(table: string, work: () => Promise<T>): Promise<T> {
  await sql`alter table ${sql.table(table)} rename to away`.execute(database.db)
  try {
    return await work()
  } finally {
    await sql`alter table away rename to ${sql.ref(table)}`.execute(database.db)
  }
}

describe('a sweep', () => {
  it('never removes a revision that is published while it looks', async () => {
    const id = await create()
    await say('taken', id, 1)
    await say('failed', id, 1, { final: false })
    await say('taken', id, 2)
    for (const origin of [o1, o2]) origin.assets.add(`${id}/r2`)
    let publishing: Promise<unknown> | undefined
    const publishInBetween: KyselyPlugin = {
      transformQuery: ({ node }) => node,
      transformResult: async ({ result }) => {
        if (result.rows.some((row) => row.id === id && row.max_attempt === 2)) publishing ??= say('published', id, 2)
        return result
      },
    }
    await sweep(database.db.withPlugin(publishInBetween))
    expect(await publishing).toBe('applied')
    expect([...o1.removed, ...o2.removed]).not.toContain(`${id}/r2`)
    await sweep()
    expect([...o1.removed, ...o2.removed]).not.toContain(`${id}/r2`)
  })

  it('of one video that an origin cannot do keeps the others waiting in no way', async () => {
    const first = await published([o1])
    const second = await published([o1])
    o1.stuck.add(`${first}/r1`)
    for (const id of [first, second]) {
      clock += 1
      await service().remove(id)
    }
    await sweep(database.db, [o1])
    expect([first, second].map((id) => o1.assets.has(`${id}/r1`))).toEqual([true, false])
    const due = async () => (await dueSweeps(database.db, 'o1', now())).some((one) => one.video_id === first)
    expect(await due()).toBe(false)
    clock += 60_000
    expect(await due()).toBe(true)
    o1.stuck.clear()
    await sweep()
    expect(o1.assets.has(`${first}/r1`)).toBe(false)
  })
})

/** Its queue and its Redis are not reached by what is tried here. */
function service(): VideoService {
  const config = parseConfig(configSchema, fleet.rawConfig())
  const unused = {} as never
  const sources = { remove: async () => undefined } as never
  return new VideoService({ db: database.db, config, queue: unused, redis: unused, sources, onChange: () => undefined, now, log })
}

describe('a change that a crash breaks off', () => {
  it('leaves no deleted video without the wishes to delete it at the origins', async () => {
    const id = await published([o1, o2])
    await sweep()
    await expect(without('sweeps', () => service().remove(id))).rejects.toThrow('sweeps')
    expect((await findVideo(database.db, id))?.state).toBe('ready')
  })

  it('leaves no ended run without the wishes to sweep what it left', async () => {
    const id = await create()
    await say('taken', id, 1)
    await expect(without('sweeps', () => service().endRun(id, 1, 'cancelled'))).rejects.toThrow('sweeps')
    expect(await findOpenRun(database.db, id, 1)).toBeDefined()
  })
})

describe('a replica', () => {
  it('that arrives when its video is gone is swept, not remembered', async () => {
    const id = await published([o1])
    await sweep()
    o2.onPull = () => updateVideo(database.db, id, { state: 'deleted' }, now())
    await oneRound(replicator([o1, o2]))
    o2.onPull = async () => undefined
    expect((await listReplicas(database.db, id, 'r1')).map(({ origin_id, state }) => [origin_id, state])).not.toContainEqual(['o2', 'held'])
    await sweep()
    expect(o2.removed).toContain(`${id}/r1`)
  })

  it('whose end the database could not take is made again, and the service goes on', async () => {
    const id = await published([o1])
    const replicas = replicator([o1, o2])
    o2.onPull = () => sql`alter table replicas rename to away`.execute(database.db)
    await oneRound(replicas)
    o2.onPull = async () => undefined
    await sql`alter table away rename to replicas`.execute(database.db)
    await oneRound(replicas)
    expect((await findVideo(database.db, id))?.state).toBe('ready')
  })

  it('that one holder cannot give is pulled from the next', async () => {
    const id = await published([o1, o2])
    const replicas = replicator([o1, o2, spare])
    spare.failPulls = 1
    await oneRound(replicas)
    clock += 10_000
    await oneRound(replicas)
    const pulls = spare.pulls.filter((pull) => pull.key === `${id}/r1`)
    expect(pulls.map((pull) => pull.from.id).toSorted()).toEqual(['o1', 'o2'])
    expect((await listReplicas(database.db, id, 'r1')).map((replica) => replica.state)).toEqual(['held', 'held', 'held'])
  })
})
