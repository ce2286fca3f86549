import { until } from '@millrace/common/testing/until'
import { walkHls } from '@millrace/scripts/player/hls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeClip } from '../support/clips.js'
import { type Fixture, leftovers, listing, startFixture, untilState, upload } from '../support/fixture.js'

let fixture: Fixture
let short: string
let long: string

beforeAll(async () => {
  fixture = await startFixture({ x264Preset: 'veryfast' })
  short = await makeClip(fixture.clips, 'short.mp4', { seconds: 3, size: '320x180' })
  // Long enough to be caught in mid-encode.
  long = await makeClip(fixture.clips, 'long.mp4', { seconds: 40, size: '1280x720' })
})
afterAll(async () => fixture?.close())

const inEncode = (id: string) => until('the encode to run', async () => (await fixture.api.video(id)).progress?.stage === 'encode', 30_000)

/** Revisions of a video on an origin's disk, visible ones. */
const revisionsOn = (origin: string, id: string) =>
  listing(fixture.folder, origin, 'data', 'assets', id).then((names) => names.filter((name) => !name.includes('/')))

async function playsOnEveryEdge(id: string): Promise<number> {
  const playback = await fixture.api.playback(id)
  expect(playback.edges.length).toBeGreaterThan(0)
  for (const edge of playback.edges) expect((await walkHls(edge.hls)).tally.segments).toBeGreaterThan(0)
  return playback.edges.length
}

describe('faults', () => {
  it('kill -9 of the transcoder in mid-encode: the restarted one finishes the video, and the dead attempt is never shown and swept', async () => {
    const { id } = await upload(fixture, long)
    await inEncode(id)
    await fixture.stack.service('t1').kill()
    await fixture.stack.service('t1').start()
    const video = await untilState(fixture, id, ['ready'], 150_000)
    expect(video.rev).not.toBe('r1')
    expect(await playsOnEveryEdge(id)).toBe(2)
    for (const origin of ['o1', 'o2']) expect(await revisionsOn(origin, id)).toEqual([video.rev])
    await until('nothing to be left behind', async () => (await leftovers(fixture)).length === 0, 15_000)
  })

  it('kill -9 of the CMS while a job runs: after its restart the video becomes ready without a person', async () => {
    const { id } = await upload(fixture, long)
    await inEncode(id)
    await fixture.stack.service('cms').kill()
    await fixture.stack.service('cms').start()
    await untilState(fixture, id, ['ready'], 150_000)
    expect(await playsOnEveryEdge(id)).toBe(2)
  })

  it('Redis restarted in the middle of a job: nothing is lost and the next job runs', async () => {
    const { id } = await upload(fixture, long)
    await inEncode(id)
    await fixture.stack.service('redis').stop()
    await fixture.stack.service('redis').start()
    await untilState(fixture, id, ['ready'], 150_000)
    const next = await upload(fixture, short)
    await untilState(fixture, next.id, ['ready'])
  })

  it('one origin down while publishing: degraded and playing; when it is back the missing replica is made and the video is ready', async () => {
    await fixture.stack.service('o2').kill()
    const { id } = await upload(fixture, short)
    const degraded = await untilState(fixture, id, ['degraded'])
    expect(degraded.replicas.find((replica) => replica.originId === 'o2')?.state).not.toBe('held')
    expect(await playsOnEveryEdge(id)).toBe(2)
    await fixture.stack.service('o2').start()
    const ready = await untilState(fixture, id, ['ready'])
    expect(ready.replicas.map((replica) => [replica.originId, replica.state]).sort()).toEqual([
      ['o1', 'held'],
      ['o2', 'held'],
    ])
    expect(await revisionsOn('o2', id)).toEqual([ready.rev])
  })

  it('one origin down while viewers watch: edges serve from the other with no error to the viewer', async () => {
    const { id } = await upload(fixture, short)
    await untilState(fixture, id, ['ready'])
    for (const origin of ['o1', 'o2']) {
      await fixture.stack.service(origin).kill()
      // Nothing of this video is cached on this edge yet: every byte needs an origin.
      const edge = (await fixture.api.playback(id)).edges.find((entry) => entry.id === (origin === 'o1' ? 'e1' : 'e2'))!
      const walk = await walkHls(edge.hls)
      expect(walk.tally.phases.get('hit') ?? 0).toBe(0)
      await fixture.stack.service(origin).start()
    }
  })

  it('a cancelled job ends at once, leaves nothing, and may be retried', async () => {
    const { id } = await upload(fixture, long)
    await inEncode(id)
    await fixture.api.post(id, 'cancel')
    await untilState(fixture, id, ['cancelled'], 10_000)
    await until('nothing to be left behind', async () => (await leftovers(fixture)).length === 0, 10_000)
    await fixture.api.post(id, 'retry')
    await untilState(fixture, id, ['ready'], 150_000)
  })

  it('a deleted video is gone from every origin, also from one that was down', async () => {
    const { id } = await upload(fixture, short)
    await untilState(fixture, id, ['ready'])
    await fixture.stack.service('o1').kill()
    await fixture.api.delete(id)
    await until('the asset to be gone from o2', async () => (await revisionsOn('o2', id)).length === 0, 15_000)
    await fixture.stack.service('o1').start()
    await until('the asset to be gone from o1', async () => (await revisionsOn('o1', id)).length === 0, 30_000)
    await expect(fixture.api.playback(id)).rejects.toMatchObject({ code: 'not-playable' })
  })
})
