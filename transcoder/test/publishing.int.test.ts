import { readFile, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Clips, createClips, FAST, picture, tone } from './support/clips.js'
import { type Fleet, startFleet } from './support/fleet.js'

let fleet: Fleet
let clips: Clips
let clip: string
let workspace: () => Promise<string[]>
const NOWHERE = { id: 'o9', controlUrl: 'http://127.0.0.1:1', rsyncUrl: 'rsync://127.0.0.1:1' }

beforeAll(async () => {
  fleet = await startFleet()
  clips = await createClips()
  clip = await clips.make('a.mp4', `${picture('320x180', '25', 2)} ${tone(2)} ${FAST}`)
  workspace = (await fleet.startWorker('t1')).workspace
})
afterEach(() => {
  for (const origin of fleet.origins) for (const name of Object.keys(origin.hooks)) delete origin.hooks[name as keyof typeof origin.hooks]
})
afterAll(async () => {
  await fleet?.stop()
  await clips?.remove()
})

test('without any origin that answers the attempts fail as too-few-origins, the last one for good, and no file is left', async () => {
  const placement = { origins: [NOWHERE], replicas: 1, minReplicas: 1 }
  const end = await fleet.run(await fleet.sources.storeFile(clip), { placement, maxAttempts: 2 })
  expect(end).toMatchObject({
    type: 'failed',
    stage: 'publish',
    attempt: 2,
    error: { code: 'too-few-origins', source: 'origin', retryable: true },
  })
  const events = await fleet.events(end.videoId)
  expect(events.map((event) => event.type)).toEqual(['taken', 'publishing', 'failed', 'taken', 'publishing', 'failed'])
  expect(events[2]).toMatchObject({ final: false, rev: 'r1' })
  expect(end.type === 'failed' && end.error.detail).toContain('origin-unreachable')
  expect(await workspace()).toEqual([])
})

test('one origin down: published with one replica held and one failed', async () => {
  const placement = { origins: [NOWHERE, fleet.origins[0].target], replicas: 2, minReplicas: 1 }
  const end = await fleet.run(await fleet.sources.storeFile(clip), { placement })
  expect(end.type === 'published' && end.replicas).toEqual(
    expect.arrayContaining([
      { originId: 'o1', state: 'held' },
      { originId: 'o9', state: 'failed', error: expect.objectContaining({ code: 'origin-unreachable' }) },
    ]),
  )
})

test('the next origin on the list takes the place of a dead one', async () => {
  const placement = { origins: [NOWHERE, fleet.origins[0].target, fleet.origins[1].target], replicas: 2, minReplicas: 2 }
  const end = await fleet.run(await fleet.sources.storeFile(clip), { placement })
  expect(
    end.type === 'published' &&
      end.replicas
        .filter((replica) => replica.state === 'held')
        .map((replica) => replica.originId)
        .sort(),
  ).toEqual(['o1', 'o2'])
})

test('when too few origins took it, what the others took is taken back', async () => {
  const placement = { origins: [NOWHERE, fleet.origins[0].target], replicas: 2, minReplicas: 2 }
  const end = await fleet.run(await fleet.sources.storeFile(clip), { placement, maxAttempts: 1 })
  expect(end).toMatchObject({ type: 'failed', error: { code: 'too-few-origins' }, final: true })
  expect(await fleet.origins[0].committed()).not.toContain(`${end.videoId}/r1`)
  expect(await fleet.origins[0].staged()).toEqual([])
})

test('a file that arrived wrong is sent again and looked into', async () => {
  let spoilt = 0
  fleet.origins[0].hooks.onCommit = async (folder) => {
    if (spoilt++ > 0) return
    await truncate(join(folder, 'video-180p.mp4'), 100)
  }
  const end = await fleet.run(await fleet.sources.storeFile(clip), {
    placement: { origins: [fleet.origins[0].target], replicas: 1, minReplicas: 1 },
  })
  expect(end).toMatchObject({ type: 'published', replicas: [{ originId: 'o1', state: 'held' }] })
  expect(spoilt).toBe(2)
})

test('an origin that was started anew and forgot the operation is asked to commit again', async () => {
  fleet.origins[0].hooks.forgetOperations = 1
  const end = await fleet.run(await fleet.sources.storeFile(clip), {
    placement: { origins: [fleet.origins[0].target], replicas: 1, minReplicas: 1 },
  })
  expect(end).toMatchObject({ type: 'published', replicas: [{ originId: 'o1', state: 'held' }] })
})

test('a job ends as one asset on every origin, byte for byte, and leaves no file here', async () => {
  const source = await fleet.sources.storeFile(clip)
  const end = await fleet.run(source)
  expect(end).toMatchObject({
    type: 'published',
    transcoderId: 't1',
    rev: 'r1',
    replicas: expect.arrayContaining([{ originId: 'o1', state: 'held' }]),
  })
  if (end.type !== 'published' || source.kind !== 'stored') throw new Error('unreachable')
  expect(end.source).toEqual({ bytes: source.bytes, sha256: source.sha256 })
  expect(Object.keys(end.timings)).toEqual(['fetch', 'probe', 'encode', 'verify', 'publish'])
  expect((await fleet.events(end.videoId)).map((event) => event.type)).toEqual(['taken', 'publishing', 'published'])
  const [one, two] = fleet.origins
  expect(await one.asset(end.videoId, 'r1')).toEqual(end.asset)
  for (const { name } of end.asset.files) {
    const [left, right] = await Promise.all([one, two].map((origin) => readFile(join(origin.assetFolder(end.videoId, 'r1'), name))))
    expect(left!.equals(right!)).toBe(true)
  }
  expect(await workspace()).toEqual([])
  expect(await one.staged()).toEqual([])
  expect(await fleet.client.exists(`millrace:progress:${end.videoId}`)).toBe(0)
})

test('progress of every stage is told while the job runs', async () => {
  const stages = new Set<string>()
  const subscriber = fleet.client.duplicate()
  await subscriber.subscribe('millrace:progress')
  subscriber.on('message', (_channel, message: string) => stages.add(JSON.parse(message).stage))
  await fleet.run(await fleet.sources.storeFile(clip))
  expect([...stages]).toEqual(['fetch', 'probe', 'encode', 'verify', 'publish'])
  subscriber.disconnect()
})
