import { readdir, readFile, readlink, writeFile } from 'node:fs/promises'
import { CANCEL_CHANNEL, cancelKey, heartbeatKey, takesKey } from '@millrace/common/contracts/redis'
import { jobId } from '@millrace/common/contracts/transcode-job'
import { until } from '@millrace/common/testing/until'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Clips, createClips, FAST, picture, tone } from './support/clips.js'
import { type Fleet, PRESET, startFleet } from './support/fleet.js'

let fleet: Fleet
let clips: Clips
let short: string
let long: string
/** Slow enough to be caught in the middle, soon over for who finishes it. */
const SLOW = { preset: { ...PRESET, x264Preset: 'slower' as const } }

beforeAll(async () => {
  clips = await createClips()
  short = await clips.make('short.mp4', `${picture('160x90', '25', 2)} ${tone(2)} ${FAST}`)
  long = await clips.make('long.mp4', `${picture('640x360', '25', 20)} ${FAST}`)
})
beforeEach(async () => {
  fleet = await startFleet()
})
afterEach(() => fleet?.stop())
afterAll(() => clips?.remove())

test('kill -9 in mid-encode: no ffmpeg is left, another transcoder finishes the video with a higher attempt', async () => {
  const first = await fleet.spawnWorker('t1')
  const job = fleet.makeJob(await fleet.sources.storeFile(long), SLOW)
  await fleet.enqueue(job)
  await untilEncoding(job.videoId)
  first.child.kill('SIGKILL')
  await first.child
  await until('the end of ffmpeg', async () => (await ffmpegsIn(`${fleet.folder}/t1`)) === 0, 2000)
  expect(await first.workspace()).toEqual([`${job.videoId}-r1`])

  const second = await fleet.startWorker('t2')
  const end = await fleet.untilEvent(job.videoId, 'published', 60_000)
  expect(end).toMatchObject({ rev: 'r2', transcoderId: 't2' })
  expect(await fleet.origins[0].committed()).toEqual([`${job.videoId}/r2`])
  expect(await second.workspace()).toEqual([])
  // The killed one's leftovers go at its next start.
  await fleet.startWorker('t1')
  expect(await first.workspace()).toEqual([])
})

test('a job that was taken too often ends as attempts-exhausted without another encode', async () => {
  await fleet.startWorker('t1')
  const job = fleet.makeJob(await fleet.sources.storeFile(short))
  await fleet.client.set(takesKey(jobId(job.videoId, 1)), 3)
  await fleet.enqueue(job)
  expect(await fleet.untilEvent(job.videoId, 'failed')).toMatchObject({
    final: true,
    error: { code: 'attempts-exhausted', retryable: false },
  })
  expect(await fleet.events(job.videoId)).toHaveLength(1)
})

test('Redis restarted in the middle of a job: nothing is lost and the next job runs', async () => {
  await fleet.startWorker('t1')
  const job = fleet.makeJob(await fleet.sources.storeFile(long), { preset: { ...PRESET, x264Preset: 'medium' } })
  await fleet.enqueue(job)
  await untilEncoding(job.videoId)
  await fleet.redis.restart()
  expect(await fleet.untilEvent(job.videoId, 'published')).toMatchObject({ rev: 'r1' })
  expect((await fleet.run(await fleet.sources.storeFile(short))).type).toBe('published')
})

test('Redis restarted while nothing runs: a job that fails is still tried again', async () => {
  await fleet.startWorker('t1')
  await fleet.redis.restart()
  const end = await fleet.run({ kind: 'url', url: 'http://127.0.0.1:1/a.mp4' }, { maxAttempts: 3 })
  expect(end).toMatchObject({ type: 'failed', attempt: 3, error: { code: 'url-unreachable' } })
})

test('SIGTERM in mid-encode: exit 0 within ten seconds, and the job goes back without counting as a take', async () => {
  const first = await fleet.spawnWorker('t1')
  const job = fleet.makeJob(await fleet.sources.storeFile(long), { ...SLOW, maxAttempts: 1 })
  await fleet.enqueue(job)
  await untilEncoding(job.videoId)
  const asked = Date.now()
  first.child.kill('SIGTERM')
  expect((await first.child).exitCode).toBe(0)
  expect(Date.now() - asked).toBeLessThan(10_000)
  expect(await first.workspace()).toEqual([])
  expect(await fleet.client.exists(heartbeatKey('t1'))).toBe(0)
  expect(await fleet.events(job.videoId)).toMatchObject([
    { type: 'taken' },
    { type: 'failed', final: false, error: { code: 'transcoder-stopping' } },
  ])

  await fleet.startWorker('t2')
  expect(await fleet.untilEvent(job.videoId, 'published', 60_000)).toMatchObject({ rev: 'r2', transcoderId: 't2' })
})

test('cancel in mid-encode: ffmpeg is gone within two seconds, and no file is left', async () => {
  const worker = await fleet.startWorker('t1')
  const job = fleet.makeJob(await fleet.sources.storeFile(long), SLOW)
  const id = await fleet.enqueue(job)
  await untilEncoding(job.videoId)
  await fleet.client.set(cancelKey(id), '1', 'EX', 60)
  await fleet.client.publish(CANCEL_CHANNEL, id)
  await until('the end of ffmpeg', async () => (await ffmpegsIn(`${fleet.folder}/t1`)) === 0, 2000)
  await fleet.untilEvent(job.videoId, 'cancelled')
  expect(await worker.workspace()).toEqual([])
})

test('cancel while publishing: what is staged on the origins is deleted', async () => {
  const worker = await fleet.startWorker('t1')
  const job = fleet.makeJob(await fleet.sources.storeFile(short))
  const id = jobId(job.videoId, 1)
  for (const origin of fleet.origins) {
    origin.hooks.onCommit = async () => {
      await fleet.client.publish(CANCEL_CHANNEL, id)
      await fleet.untilEvent(job.videoId, 'cancelled')
    }
  }
  await fleet.enqueue(job)
  await fleet.untilEvent(job.videoId, 'cancelled')
  for (const origin of fleet.origins) expect(await origin.staged()).toEqual([])
  expect(await worker.workspace()).toEqual([])
})

test('a job that was cancelled before it was taken only says so', async () => {
  const job = fleet.makeJob(await fleet.sources.storeFile(short))
  await fleet.client.set(cancelKey(jobId(job.videoId, 1)), '1')
  await fleet.enqueue(job)
  await fleet.startWorker('t1')
  await fleet.untilEvent(job.videoId, 'cancelled')
  expect(await fleet.events(job.videoId)).toHaveLength(1)
})

test('an encoder that hangs is killed as encoder-stalled and tried again', async () => {
  const hanging = await fleet.startWorker('t1', { ffmpeg: { path: await hangingFfmpeg(), stallTimeout: '1s' } })
  const job = fleet.makeJob(await fleet.sources.storeFile(short), { maxAttempts: 2 })
  await fleet.enqueue(job)
  const failed = await fleet.untilEvent(job.videoId, 'failed')
  expect(failed).toMatchObject({ final: false, stage: 'encode', error: { code: 'encoder-stalled', retryable: true } })
  expect(
    await until('the second end', async () => (await fleet.events(job.videoId)).filter((event) => event.type === 'failed')[1]),
  ).toMatchObject({
    final: true,
    attempt: 2,
  })
  expect(await hanging.workspace()).toEqual([])
})

test('an attempt number lost by Redis starts above the one the database knows', async () => {
  await fleet.startWorker('t1')
  expect(await fleet.run(await fleet.sources.storeFile(short), { attemptFloor: 41 })).toMatchObject({
    type: 'published',
    rev: 'r42',
    attempt: 42,
  })
})

test('readiness tells that Redis is away', async () => {
  const { app } = await fleet.startWorker('t1')
  const ready = () => fetch(`http://127.0.0.1:${app.admin.port}/readyz`)
  expect((await ready()).status).toBe(200)
  await fleet.redis.stop()
  const answer = await until('not ready', async () => {
    const response = await ready()
    return response.status === 503 && ((await response.json()) as { problems: Record<string, string> })
  })
  expect(Object.keys(answer.problems)).toEqual(['redis'])
})

/** The heartbeat and ffmpeg itself say that the encode is under way. */
const untilEncoding = (videoId: string) => until(`the encode of ${videoId}`, async () => (await ffmpegsIn(`${fleet.folder}/`, videoId)) > 0)

/** ffmpeg processes whose working folder is below this one. */
async function ffmpegsIn(folder: string, videoId = ''): Promise<number> {
  let count = 0
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const [command, cwd] = await Promise.all([
      readFile(`/proc/${pid}/comm`, 'utf8').catch(() => ''),
      readlink(`/proc/${pid}/cwd`).catch(() => ''),
    ])
    if (command.startsWith('ffmpeg') && cwd.startsWith(folder) && cwd.includes(videoId)) count++
  }
  return count
}

/** A program that answers the preflight like ffmpeg and hangs on everything else. */
async function hangingFfmpeg(): Promise<string> {
  const path = `${fleet.folder}/hanging-ffmpeg`
  await writeFile(path, '#!/bin/sh\ncase "$*" in *-encoders*) exec ffmpeg "$@";; esac\nexec sleep 600\n', { mode: 0o755 })
  return path
}
