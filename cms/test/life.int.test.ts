import type { Playback } from '@millrace/common/contracts/playback'
import { CANCEL_CHANNEL, cancelKey, EVENT_STREAM, finishedKey, heartbeatKey } from '@millrace/common/contracts/redis'
import { transcodeJobSchema } from '@millrace/common/contracts/transcode-job'
import { until } from '@millrace/common/testing/until'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DEAD_EVENTS } from '../src/events/consume.js'
import { ASSET_SHA256 } from './fakes.js'
import { apiOf, event, TestFleet } from './fleet.js'

let fleet: TestFleet
let api: ReturnType<typeof apiOf>

beforeAll(async () => {
  fleet = await new TestFleet().start()
  await restartCms()
}, 180_000)
afterAll(() => fleet.stop())

async function restartCms(change?: Record<string, unknown>): Promise<void> {
  await fleet.stopCms()
  api = apiOf((await fleet.startCms(change)).url)
}

describe('a job', () => {
  it('is queued by a new video, whole and with ranked origins', async () => {
    const video = await api.create()
    expect(video).toMatchObject({ state: 'queued', title: 'film', job: { id: `${video.id}-1`, run: 1, attempt: 0 } })
    const job = transcodeJobSchema.parse(await fleet.queued(`${video.id}-1`))
    expect(job).toMatchObject({ videoId: video.id, run: 1, attemptFloor: 0, source: { kind: 'url', url: 'http://example.com/film.mp4' } })
    expect(job.placement.origins.map((origin) => origin.id).sort()).toEqual(['o1', 'o2'])
  })

  it('that fails for good makes the video failed, with code, sentence and last lines', async () => {
    const { id } = await api.create()
    await fleet.say(event('taken', id, 1))
    await api.becomes(id, 'transcoding')
    await fleet.say(event('failed', id, 1))
    const failed = await api.becomes(id, 'failed')
    expect(failed.error).toEqual({
      code: 'not-a-video',
      source: 'source-media',
      retryable: false,
      message: 'no tracks found',
      detail: 'ffprobe said no',
    })
    expect(failed.job?.endedAt).toBeDefined()
  })

  it('that fails and is delivered again makes the video queued, and the next attempt can succeed', async () => {
    const { id } = await api.create()
    await fleet.say(event('taken', id, 1))
    await fleet.say(event('failed', id, 1, { final: false }))
    await api.becomes(id, 'queued')
    await fleet.say(event('taken', id, 2))
    await fleet.say(event('published', id, 2))
    expect(await api.becomes(id, 'ready')).toMatchObject({ rev: 'r2', job: { attempt: 2 } })
  })

  it('that was published makes the video ready, with renditions and replicas', async () => {
    const { id } = await api.create()
    await fleet.say(event('taken', id, 1))
    await fleet.say(event('publishing', id, 1))
    await api.becomes(id, 'publishing')
    await fleet.say(event('published', id, 1))
    const ready = await api.becomes(id, 'ready')
    expect(ready).toMatchObject({ rev: 'r1', durationSeconds: 8, source: { bytes: 77 }, job: { timings: { fetch: 1, encode: 5 } } })
    expect(ready.replicas).toEqual([
      { originId: 'o1', rev: 'r1', state: 'held' },
      { originId: 'o2', rev: 'r1', state: 'held' },
    ])
    expect(ready.renditions.map((file) => file.name)).toEqual(['video-360p.mp4', 'audio-eng.mp4', 'poster.jpg'])
  })

  it('is queued again when Redis lost everything', async () => {
    const { id } = await api.create()
    await fleet.say(event('taken', id, 1))
    await api.becomes(id, 'transcoding')
    await fleet.redis.flushall()
    const job = await until('the job to be back', () => fleet.queued(`${id}-1`))
    expect(job).toMatchObject({ run: 1, attemptFloor: 1 })
    // The group went with the data, too.
    await fleet.say(event('taken', id, 2))
    await fleet.say(event('published', id, 2))
    expect(await api.becomes(id, 'ready')).toMatchObject({ rev: 'r2' })
  })

  it('is not queued again while a transcoder that lost its Redis still works on it', async () => {
    const { id } = await api.create()
    const at = new Date().toISOString()
    const job = { jobId: `${id}-1`, videoId: id, rev: 'r1', stage: 'encode' }
    await fleet.redis.set(heartbeatKey('t1'), JSON.stringify({ version: 1, transcoderId: 't1', host: 'h', startedAt: at, at, job }))
    await fleet.redis.set(heartbeatKey('t2'), 'nonsense')
    await fleet.finishJob(`${id}-1`)
    const other = await api.create()
    await fleet.finishJob(`${other.id}-1`)
    await until('the job without a worker to be back', () => fleet.queued(`${other.id}-1`))
    expect(await fleet.queued(`${id}-1`)).toBeUndefined()
  })

  it('is queued by a save after Redis was restarted and had lost its scripts', async () => {
    await api.create()
    await fleet.redisServer.restart()
    const { id } = await until('a CMS that answers again', async () => {
      const made = await api.create()
      return made.id ? made : undefined
    })
    await until('the job', () => fleet.queued(`${id}-1`))
  })

  it('whose result was lost is done once more, and fails in the end', async () => {
    const { id } = await api.create()
    for (let time = 1; time <= 3; time++) {
      await fleet.redis.set(finishedKey(`${id}-1`), '1')
      await fleet.finishJob(`${id}-1`)
      await until(`job ${time} to be back`, () => fleet.queued(`${id}-1`))
      expect(await fleet.redis.exists(finishedKey(`${id}-1`))).toBe(0)
    }
    await fleet.redis.set(finishedKey(`${id}-1`), '1')
    await fleet.finishJob(`${id}-1`)
    expect(await api.becomes(id, 'failed')).toMatchObject({ error: { code: 'result-lost' } })
  })
})

describe('events', () => {
  it('of an older attempt change nothing, and its files are swept', async () => {
    const { id } = await api.create()
    fleet.origins[0].staged.add(`${id}/r1`)
    fleet.origins[1].assets.add(`${id}/r1`)
    await fleet.say(event('taken', id, 1))
    await fleet.say(event('taken', id, 2))
    await fleet.say(event('published', id, 1))
    await fleet.consumed()
    expect(await api.video(id)).toMatchObject({ state: 'transcoding', job: { attempt: 2 } })
    await fleet.say(event('failed', id, 1))
    await fleet.consumed()
    expect((await api.video(id)).state).toBe('transcoding')
    await until('the dead attempt to be gone', () => !fleet.origins[0].staged.has(`${id}/r1`) && !fleet.origins[1].assets.has(`${id}/r1`))
    await fleet.say(event('published', id, 2))
    expect(await api.becomes(id, 'ready')).toMatchObject({ rev: 'r2' })
  })

  it('that come twice and in the wrong order end in the same state', async () => {
    const { id } = await api.create()
    for (const type of ['publishing', 'taken', 'published', 'published', 'taken', 'publishing'] as const)
      await fleet.say(event(type, id, 1))
    await fleet.consumed()
    expect(await api.video(id)).toMatchObject({ state: 'ready', rev: 'r1', job: { attempt: 1 } })
  })

  it('that cannot be read are set aside, and the next one is applied', async () => {
    const { id } = await api.create()
    const before = await fleet.redis.xlen(DEAD_EVENTS)
    await fleet.redis.xadd(EVENT_STREAM, '*', 'event', '{"type":"nonsense"}')
    await fleet.redis.xadd(EVENT_STREAM, '*', 'event', 'not json')
    await fleet.redis.xadd(EVENT_STREAM, '*', 'other', 'field')
    await fleet.say(event('taken', id, 1))
    await api.becomes(id, 'transcoding')
    await fleet.consumed()
    expect(await fleet.redis.xlen(DEAD_EVENTS)).toBe(before + 3)
  })

  it('of a video that is not here are dropped', async () => {
    const before = await fleet.redis.xlen(DEAD_EVENTS)
    await fleet.say(event('taken', '0'.repeat(26), 1))
    await fleet.consumed()
    expect(await fleet.redis.xlen(DEAD_EVENTS)).toBe(before)
  })

  it('that another consumer took and died with are taken over', async () => {
    const { id } = await api.create()
    await fleet.stopCms()
    await fleet.say(event('taken', id, 1))
    await fleet.redis.xreadgroup('GROUP', 'cms', 'dead-cms', 'STREAMS', EVENT_STREAM, '>')
    const [[entry]] = (await fleet.redis.xpending(EVENT_STREAM, 'cms', '-', '+', 1)) as [[string]]
    await fleet.redis.xclaim(EVENT_STREAM, 'cms', 'dead-cms', 0, entry, 'IDLE', 120_000)
    await restartCms()
    await api.becomes(id, 'transcoding')
  })
})

describe('a video with a replica missing', () => {
  it('is degraded and plays; when the origin is back the replica is made and it becomes ready', async () => {
    const { id } = await api.create()
    await fleet.origins[1].stop()
    await until('o2 to be found down', async () => {
      const { body } = await api.call<{ origins: { id: string; healthy: boolean }[] }>('GET', '/api/v1/nodes')
      return body.origins.some((origin) => origin.id === 'o2' && !origin.healthy)
    })
    fleet.origins[0].assets.add(`${id}/r1`)
    await fleet.say(event('published', id, 1, { heldBy: ['o1'] }))
    const degraded = await api.becomes(id, 'degraded')
    expect(degraded.replicas).toMatchObject([
      { originId: 'o1', state: 'held' },
      { originId: 'o2', state: 'failed', error: { code: 'unreachable' } },
    ])
    const { body } = await api.call<Playback>('GET', `/api/v1/videos/${id}/playback`)
    expect(body.route).toBe('o1')
    fleet.origins[1].failPulls = 1
    await fleet.origins[1].start()
    const ready = await api.becomes(id, 'ready')
    expect(ready.replicas.map((replica) => replica.state)).toEqual(['held', 'held'])
    const pulls = fleet.origins[1].pulls.filter((pull) => pull.key === `${id}/r1`)
    expect(pulls).toHaveLength(2)
    expect(pulls[0]).toEqual({
      version: 1,
      key: `${id}/r1`,
      from: { id: 'o1', rsyncUrl: 'rsync://127.0.0.1:8730' },
      assetSha256: ASSET_SHA256,
    })
  })
})

describe('cancelling', () => {
  it('ends a queued job at once', async () => {
    const { id } = await api.create()
    const { status, body } = await api.call('POST', `/api/v1/videos/${id}/cancel`)
    expect([status, body]).toMatchObject([202, { state: 'cancelled', job: { endedAt: expect.any(String) } }])
    expect(await fleet.queued(`${id}-1`)).toBeUndefined()
    expect(await fleet.redis.exists(cancelKey(`${id}-1`))).toBe(1)
  })

  it('tells the transcoder, and the video is cancelled when it says so', async () => {
    const { id } = await api.create()
    await fleet.say(event('taken', id, 1))
    await api.becomes(id, 'transcoding')
    const ear = fleet.redis.duplicate()
    await ear.subscribe(CANCEL_CHANNEL)
    const told = new Promise((resolve) => ear.on('message', (_channel, message) => resolve(message)))
    expect(await api.call('POST', `/api/v1/videos/${id}/cancel`)).toMatchObject({ status: 202, body: { state: 'transcoding' } })
    expect(await told).toBe(`${id}-1`)
    ear.disconnect()
    await fleet.say(event('cancelled', id, 1))
    await api.becomes(id, 'cancelled')
  })

  it('of a job that nobody has any more is done by the CMS', async () => {
    const { id } = await api.create()
    await fleet.say(event('taken', id, 1))
    await api.becomes(id, 'transcoding')
    await api.call('POST', `/api/v1/videos/${id}/cancel`)
    await fleet.finishJob(`${id}-1`)
    await api.becomes(id, 'cancelled')
  })

  it('is refused when nothing runs', async () => {
    const { id } = await api.create()
    await fleet.say(event('published', id, 1))
    await api.becomes(id, 'ready')
    expect(await api.call('POST', `/api/v1/videos/${id}/cancel`)).toMatchObject({ status: 409, body: { code: 'wrong-state' } })
  })
})

describe('another run', () => {
  it('that fails takes nothing from viewers', async () => {
    const { id } = await api.create()
    await fleet.say(event('published', id, 1))
    await api.becomes(id, 'ready')
    expect(await api.call('POST', `/api/v1/videos/${id}/retry`)).toMatchObject({ status: 202, body: { state: 'queued', job: { run: 2 } } })
    expect(await fleet.queued(`${id}-2`)).toMatchObject({ run: 2, attemptFloor: 1 })
    fleet.origins[0].assets.add(`${id}/r1`)
    expect(await api.call('GET', `/api/v1/videos/${id}/playback`)).toMatchObject({ status: 200, body: { rev: 'r1' } })
    await fleet.say(event('failed', id, 2, { run: 2 }))
    const ready = await until('the failed run to end', async () => {
      const video = await api.video(id)
      return video.error && video
    })
    expect(ready).toMatchObject({ state: 'ready', rev: 'r1', error: { code: 'not-a-video' } })
  })

  it('replaces what plays, and the old revision goes after its grace', async () => {
    await restartCms({ playback: { supersededGrace: '600ms' } })
    const { id } = await api.create()
    fleet.origins[0].assets.add(`${id}/r1`)
    await fleet.say(event('published', id, 1))
    await api.becomes(id, 'ready')
    await api.call('POST', `/api/v1/videos/${id}/retry`)
    fleet.origins[0].assets.add(`${id}/r2`)
    const published = Date.now()
    await fleet.say(event('published', id, 2, { run: 2 }))
    expect(await api.becomes(id, 'ready')).toMatchObject({ rev: 'r2' })
    await until('the old revision to be gone', () => !fleet.origins[0].assets.has(`${id}/r1`))
    expect(Date.now() - published).toBeGreaterThanOrEqual(600)
    expect(fleet.origins[0].assets.has(`${id}/r2`)).toBe(true)
  })
})

describe('deleting', () => {
  it('with an origin down is done there when it is back', async () => {
    const { id } = await api.create()
    for (const origin of fleet.origins) origin.assets.add(`${id}/r1`)
    await fleet.say(event('published', id, 1))
    await api.becomes(id, 'ready')
    await fleet.origins[1].stop()
    expect(await api.call('DELETE', `/api/v1/videos/${id}`)).toMatchObject({ status: 202, body: { state: 'deleted' } })
    await until('o1 to have deleted it', () => !fleet.origins[0].assets.has(`${id}/r1`))
    expect(await api.call('GET', `/api/v1/videos/${id}/playback`)).toMatchObject({ status: 409, body: { code: 'not-playable' } })
    await fleet.stopCms()
    await fleet.origins[1].start()
    await restartCms()
    await until('o2 to have deleted it', () => !fleet.origins[1].assets.has(`${id}/r1`))
  })

  it('in mid-job cancels the job and sweeps what it published all the same', async () => {
    const { id } = await api.create()
    await fleet.say(event('taken', id, 1))
    await api.becomes(id, 'transcoding')
    await api.call('DELETE', `/api/v1/videos/${id}`)
    expect(await fleet.redis.exists(cancelKey(`${id}-1`))).toBe(1)
    fleet.origins[0].assets.add(`${id}/r1`)
    await fleet.say(event('published', id, 1))
    await until('it to be gone', () => fleet.origins[0].removed.includes(`${id}/r1`))
    expect((await api.video(id)).state).toBe('deleted')
    const { body } = await api.call<{ items: { id: string }[] }>('GET', '/api/v1/videos')
    expect(body.items.map((video) => video.id)).not.toContain(id)
  })
})
