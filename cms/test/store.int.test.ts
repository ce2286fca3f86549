import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newVideoId } from '@millrace/common/contracts/ids'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  countMissingReplicas,
  insertAsset,
  listAttempts,
  listReplicas,
  loseAttempts,
  saveAttempt,
  saveReplica,
  videosToReplicate,
} from '../src/db/asset-store.js'
import { migrate } from '../src/db/migrate.js'
import { type OpenDatabase, openDatabase } from '../src/db/open.js'
import { askForSweeps, countSweeps, dueSweeps, finishSweep } from '../src/db/sweep-store.js'
import {
  countByState,
  findRecord,
  findVideo,
  insertVideo,
  listRecords,
  lockVideo,
  openRuns,
  updateRun,
  updateVideo,
} from '../src/db/video-store.js'
import { applyEvent } from '../src/events/apply.js'
import { DEFAULT_PRESET } from '../src/presets/default.js'
import { testAsset } from './fakes.js'
import { event, log } from './fleet.js'
import { findPostgres, startPostgres } from './postgres.js'

const postgres = await findPostgres()
const now = new Date('2026-01-01T00:00:00.123Z')
const later = new Date('2026-01-01T00:01:00Z')
const source = { kind: 'stored' as const, name: 'a.mp4', bytes: 6_000_000_000, sha256: 'ab'.repeat(32) }
const fail = (error: Error) => {
  throw error
}

/** One contract, two engines. */
const engines = [
  {
    name: 'PGlite',
    installed: true,
    open: async () => {
      const path = await mkdtemp(join(tmpdir(), 'millrace-store-'))
      const database = await openDatabase({ path }, log, fail)
      return { database, clean: () => rm(path, { recursive: true, force: true }) }
    },
  },
  {
    name: 'PostgreSQL',
    installed: postgres !== undefined,
    open: async () => {
      const server = await startPostgres(postgres ?? '')
      return { database: await openDatabase({ url: server.url }, log, fail), clean: server.stop }
    },
  },
]

for (const engine of engines) {
  describe.skipIf(!engine.installed)(`the store on ${engine.name}`, () => {
    let database: OpenDatabase
    let clean: () => Promise<void>
    beforeAll(async () => {
      ;({ database, clean } = await engine.open())
    }, 120_000)
    afterAll(async () => {
      await database?.close()
      await clean?.()
    })
    const create = async () => {
      const id = newVideoId()
      await insertVideo(database.db, { id, title: `It’s "${id}"; drop table videos`, source, preset: DEFAULT_PRESET, now })
      return id
    }

    it('is migrated once', async () => {
      expect(await migrate(database.db)).toEqual([])
    })

    it('gives back what was put in, in the same types', async () => {
      const id = await create()
      const record = await findRecord(database.db, id)
      expect(record?.video).toEqual({
        id,
        title: `It’s "${id}"; drop table videos`,
        state: 'queued',
        source,
        run: 1,
        max_attempt: 0,
        rev: null,
        error: null,
        created_at: now,
        updated_at: now,
      })
      expect(record?.run).toMatchObject({ run: 1, attempt: 0, preset: DEFAULT_PRESET, queued_at: now, ended_at: null, timings: {} })
      expect(record?.replicas).toEqual([])
      expect(await findRecord(database.db, newVideoId())).toBeUndefined()
    })

    it('undoes a transaction that fails, and goes on', async () => {
      const id = await create()
      const broken = database.db.transaction().execute(async (tx) => {
        await updateVideo(tx, id, { state: 'failed' }, later)
        throw new Error('on purpose')
      })
      await expect(broken).rejects.toThrow('on purpose')
      expect((await findVideo(database.db, id))?.state).toBe('queued')
    })

    it('lets only one change of a video happen at a time', async () => {
      const id = await create()
      const bump = () =>
        database.db.transaction().execute(async (tx) => {
          const video = await lockVideo(tx, id)
          await updateVideo(tx, id, { max_attempt: (video?.max_attempt ?? 0) + 1 }, now)
        })
      await Promise.all(Array.from({ length: 8 }, bump))
      expect((await findVideo(database.db, id))?.max_attempt).toBe(8)
    })

    it('lists by state, newest first, with runs, assets and replicas', async () => {
      const ids = [await create(), await create(), await create()].toSorted()
      for (const id of ids) await applyEvent(database.db, event('failed', id, 1), { now, origins: ['o1', 'o2'], wantedReplicas: 2 })
      const first = await listRecords(database.db, { state: 'failed', limit: 2 })
      expect(first.items.map((record) => record.video.id)).toEqual([ids[2], ids[1]])
      expect(first.items[0]?.run?.ended_at).toEqual(now)
      const second = await listRecords(database.db, { state: 'failed', limit: 2, cursor: first.next })
      expect([second.items.map((record) => record.video.id), second.next]).toEqual([[ids[0]], undefined])
      expect(await countByState(database.db)).toContainEqual({ state: 'failed', videos: 3 })
    })

    it('knows the runs that have not ended', async () => {
      const id = await create()
      const open = (await openRuns(database.db)).find((run) => run.video_id === id)
      expect(open).toMatchObject({ run: 1, source, state: 'queued', max_attempt: 0 })
      await updateRun(database.db, id, 1, { ended_at: later, timings: { encode: 1.5 } })
      expect((await openRuns(database.db)).some((run) => run.video_id === id)).toBe(false)
      expect((await findRecord(database.db, id))?.run?.timings).toEqual({ encode: 1.5 })
    })

    it('takes an event in once, however often it comes', async () => {
      const id = await create()
      const context = { now, origins: ['o1', 'o2'], wantedReplicas: 2 }
      expect(await applyEvent(database.db, event('taken', id, 1), context)).toBe('applied')
      expect(await applyEvent(database.db, event('published', id, 1, { heldBy: ['o1'] }), context)).toBe('applied')
      for (const type of ['published', 'taken', 'publishing', 'failed', 'cancelled'] as const) {
        expect(await applyEvent(database.db, event(type, id, 1), context)).toBe('stale')
      }
      const record = await findRecord(database.db, id)
      expect(record?.video).toMatchObject({ state: 'degraded', rev: 'r1', max_attempt: 1 })
      expect(record?.asset).toMatchObject({
        duration: 8,
        renditions: [{ name: 'video-360p.mp4' }, { name: 'audio-eng.mp4' }, { name: 'poster.jpg' }],
      })
      expect(record?.replicas.map((replica) => [replica.origin_id, replica.state])).toEqual([
        ['o1', 'held'],
        ['o2', 'failed'],
      ])
      expect(await videosToReplicate(database.db, ['o1', 'o2'], 2)).toContainEqual({ id, rev: 'r1', state: 'degraded' })
      expect(await countMissingReplicas(database.db, ['o1', 'o2'], 2)).toBe(1)
      await saveReplica(database.db, id, 'r1', { originId: 'o2', state: 'held' }, now)
      expect(await countMissingReplicas(database.db, ['o1', 'o2'], 2)).toBe(0)
      expect((await listReplicas(database.db, id, 'r1')).every((replica) => replica.error === null)).toBe(true)
    })

    it('does not show what an attempt publishes that was given up before, since its files are swept', async () => {
      const id = await create()
      const context = { now, origins: ['o1', 'o2'], wantedReplicas: 2 }
      await applyEvent(database.db, event('taken', id, 1), context)
      await updateRun(database.db, id, 1, { ended_at: now })
      await updateVideo(database.db, id, { state: 'cancelled' }, now)
      await loseAttempts(database.db, id, { run: 1 }, now)
      expect(await applyEvent(database.db, event('published', id, 1), context)).toBe('stale')
      expect(await findVideo(database.db, id)).toMatchObject({ state: 'cancelled', rev: null })
    })

    it('takes an attempt for dead that is heard of after a newer one', async () => {
      const id = await create()
      const context = { now, origins: ['o1'], wantedReplicas: 1 }
      await applyEvent(database.db, event('taken', id, 2), context)
      expect(await applyEvent(database.db, event('taken', id, 1), context)).toBe('stale')
      expect((await listAttempts(database.db, id)).map(({ attempt, state }) => [attempt, state])).toEqual([
        [1, 'lost'],
        [2, 'running'],
      ])
    })

    it('counts what each video lacks; a copy too many of one makes up for no other', async () => {
      const context = { now, origins: ['o1', 'o2'], wantedReplicas: 1 }
      const before = await countMissingReplicas(database.db, ['o1', 'o2'], 1)
      const [rich, poor] = [await create(), await create()]
      await applyEvent(database.db, event('published', rich, 1, { heldBy: ['o1', 'o2'] }), context)
      await applyEvent(database.db, event('published', poor, 1, { heldBy: [] }), context)
      expect(await countMissingReplicas(database.db, ['o1', 'o2'], 1)).toBe(before + 1)
    })

    it('forgets the failed replica for which another origin stood in', async () => {
      const id = await create()
      const context = { now, origins: ['o1', 'o2'], wantedReplicas: 1 }
      await applyEvent(database.db, event('published', id, 1, { heldBy: ['o2'] }), context)
      expect((await findVideo(database.db, id))?.state).toBe('ready')
      expect((await listReplicas(database.db, id, 'r1')).map((replica) => replica.origin_id)).toEqual(['o2'])
    })

    it('refuses an event of no run here', async () => {
      const id = await create()
      const context = { now, origins: ['o1'], wantedReplicas: 1 }
      expect(await applyEvent(database.db, event('taken', newVideoId(), 1), context)).toBe('unknown')
      expect(await applyEvent(database.db, event('taken', id, 1, { run: 7 }), context)).toBe('unknown')
      expect(await applyEvent(database.db, { ...event('taken', id, 1), jobId: 'something else' }, context)).toBe('unknown')
    })

    it('keeps an attempt as it ended', async () => {
      const id = await create()
      const key = { video_id: id, run: 1, transcoder_id: 't1', at: now }
      await saveAttempt(database.db, { ...key, attempt: 1, state: 'running' })
      await saveAttempt(database.db, { ...key, attempt: 2, state: 'running' })
      await loseAttempts(database.db, id, { below: 2 }, later)
      await saveAttempt(database.db, { ...key, attempt: 1, state: 'failed' })
      expect((await listAttempts(database.db, id)).map(({ state, ended_at }) => [state, ended_at])).toEqual([
        ['lost', later],
        ['running', null],
      ])
    })

    it('remembers an asset once', async () => {
      const id = await create()
      await insertAsset(database.db, testAsset(id, 1), now)
      await insertAsset(database.db, testAsset(id, 1), later)
      const rows = await database.db.selectFrom('assets').select(['asset', 'published_at']).where('video_id', '=', id).execute()
      expect(rows).toEqual([{ asset: testAsset(id, 1), published_at: now }])
    })

    it('keeps a wish for a sweep that comes while one is done', async () => {
      const id = await create()
      const mine = async (at: Date) => (await dueSweeps(database.db, 'o1', at)).filter((sweep) => sweep.video_id === id)
      await askForSweeps(database.db, id, ['o1', 'o2'], later)
      expect(await mine(now)).toEqual([])
      await askForSweeps(database.db, id, ['o1'], now)
      const [sweep] = await mine(now)
      expect(sweep).toMatchObject({ origin_id: 'o1', due_at: now })
      await askForSweeps(database.db, id, ['o1'], now)
      await finishSweep(database.db, sweep!, undefined)
      const [again] = await mine(now)
      await finishSweep(database.db, again!, later)
      expect(await mine(now)).toEqual([])
      const before = await countSweeps(database.db)
      await finishSweep(database.db, (await mine(later))[0]!, undefined)
      expect(await countSweeps(database.db)).toBe(before - 1)
    })
  })
}
