import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { fsck, isClean } from '../src/cache/fsck.js'
import { pick, randomFrom } from '../src/harness/random.js'
import { cacheFiles, segment, tempFolder } from './edge.js'
import { bytesOf, serveBytes, startOrigin, type TestOrigin } from './origin.js'
import { EdgeProcess } from './processes.js'

const SEED = 20_261_128
const OBJECTS = 30
const ROUNDS = 10

/** From some bytes to two blocks. */
const lengthOf = (path: string) => (bytesOf(path, 4).readUInt32LE(0) >>> 0) % 600_000
const numbers = Array.from({ length: OBJECTS }, (_, index) => index + 1)

describe.each([1, 2])('kill -9 to an edge of %i workers', (workers) => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let edge: EdgeProcess

  beforeEach(async () => {
    folder = await tempFolder()
    o1 = await startOrigin(serveBytes(lengthOf))
  })
  afterEach(async () => {
    await edge.end()
    await o1.stop()
    await folder.remove()
  })

  it(`at any moment, ${ROUNDS} times under load: no answer has a wrong byte, and what was stored stays (seed ${SEED})`, async () => {
    const random = randomFrom(SEED + workers)
    const disk = { path: join(folder.path, 'cache'), size: 4 << 20 }
    edge = await EdgeProcess.start(folder.path, [o1], {
      workers,
      ram: { size: '2MiB' },
      cache: { path: disk.path, size: '4MiB', maxObject: '1MiB', checkpoint: '100ms' },
    })
    const phases = new Map<string, number>()
    const wrong: string[] = []
    /** Asks on and on until it is told to end; answers that break are what a kill does. */
    const viewer = async (state: { answers: number; over: boolean }) => {
      while (!state.over) {
        const number = pick(numbers, random)
        const answer = await edge.get(`/o1${segment(number)}`).catch(() => undefined)
        if (!answer) continue
        state.answers++
        const phase = `${answer.headers['x-cache']}`
        phases.set(phase, (phases.get(phase) ?? 0) + 1)
        const expected = bytesOf(segment(number), lengthOf(segment(number)))
        if (answer.status !== 200 || !answer.body.equals(expected)) wrong.push(`${number}: ${answer.status}, ${answer.body.length} bytes`)
      }
    }
    for (let round = 0; round < ROUNDS; round++) {
      const state = { answers: 0, over: false }
      const viewers = Promise.all(Array.from({ length: 6 }, () => viewer(state)))
      // As many answers later as chance has it: in the middle of whatever is going on then.
      const last = Math.floor(random() * 150)
      await until('the moment', () => state.answers >= last)
      await edge.kill()
      state.over = true
      await viewers
      await edge.start()
    }
    expect(wrong).toEqual([])
    expect(phases.get('hit')).toBeGreaterThan(ROUNDS)
    for (const number of numbers) {
      const { body } = await edge.get(`/o1${segment(number)}`)
      expect([number, body.equals(bytesOf(segment(number), lengthOf(segment(number))))]).toEqual([number, true])
    }
    await edge.idle()
    expect(await edge.metric('millrace_edge_checksum_failures_total')).toBe(0)
    expect(await edge.stop()).toEqual([0, null])
    // Not while it runs: a checkpoint may just be written.
    expect((await cacheFiles(disk.path)).tmp).toEqual([])
    expect(isClean(await fsck([disk]))).toBe(true)
  }, 180_000)

  it('loses no more of the order of use than a checkpoint: what was hit last stays when there is less room', async () => {
    o1.behave(serveBytes())
    const cache = (size: string) => ({ path: join(folder.path, 'cache'), size, maxObject: '512KiB', checkpoint: '200ms' })
    edge = await EdgeProcess.start(folder.path, [o1], { workers, ram: { size: '0B' }, cache: cache('64MiB') })
    const phase = async (number: number) => (await edge.get(`/o1${segment(number)}`)).headers['x-cache']
    for (const number of [1, 2, 3, 4, 5, 6]) expect(await phase(number)).toBe('miss')
    await edge.idle()
    for (const number of [4, 2]) expect(await phase(number)).toBe('hit')
    const hitAt = Date.now()
    // Uses are reported in batches, and written with the checkpoint after that.
    const index = join(edge.cachePath, 'v2', 'index')
    await until('a checkpoint', async () => (await stat(index)).mtimeMs > hitAt + 500)
    await edge.kill()
    await edge.configure({ cache: cache('1MiB') })
    await edge.start()
    await until('the smaller budget', async () => (await edge.metric('millrace_edge_cache_objects')) === 3)
    await o1.stop()
    for (const number of [2, 4, 6]) expect([number, await phase(number)]).toEqual([number, 'hit'])
    for (const number of [1, 3, 5]) expect([number, await phase(number)]).toEqual([number, 'error'])
  })
})
