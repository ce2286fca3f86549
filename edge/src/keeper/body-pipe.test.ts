import { MillraceError } from '@millrace/common/errors'
import { describe, expect, it } from 'vitest'
import type { EntryWriter } from '../cache/store.js'
import { BodyPipe } from './body-pipe.js'
import { MemoryBody, MemoryBudget } from './memory.js'

const KIB = 1024
const chunk = (value: number, length = 64 * KIB) => new Uint8Array(length).fill(value)

/** A file that refuses one write. */
function failingWriter(failsAt: number): EntryWriter {
  let file = new Uint8Array(0)
  let writes = 0
  return {
    location: { kind: 'file', path: '/cache/tmp/1', bodyOffset: 0 },
    write: async (bytes) => {
      if (++writes === failsAt) throw new MillraceError('full', { code: 'no-room', source: 'disk', retryable: true })
      const longer = new Uint8Array(file.length + bytes.length)
      longer.set(file)
      longer.set(bytes, file.length)
      file = longer
    },
    readBack: async (start, end) => file.slice(start, end),
    commit: async () => undefined,
    discard: async () => undefined,
  }
}

function pipeInto(target: EntryWriter | MemoryBody, memory: MemoryBudget, length?: number, holdBytes = 0) {
  const told = { written: [] as number[], moved: 0 }
  const pipe = new BodyPipe(target, {
    length,
    memory,
    onWritten: (bytes) => told.written.push(bytes),
    onMoved: () => told.moved++,
    onFault: () => undefined,
    holdBytes,
  })
  return { pipe, told }
}

describe('a body on its way into a file', () => {
  it('that failed while memory was short takes nothing more, even when there is room again', async () => {
    const budget = new MemoryBudget(256 * KIB)
    budget.take(budget.maxBytes)
    const { pipe, told } = pipeInto(failingWriter(2), budget, 192 * KIB)
    await pipe.push(chunk(1))
    await pipe.settled()
    await pipe.push(chunk(2))
    await pipe.settled()
    budget.give(budget.maxBytes)
    await expect(pipe.push(chunk(3))).rejects.toMatchObject({ code: 'no-room' })
    await pipe.settled()
    expect(told).toEqual({ written: [64 * KIB], moved: 0 })
    await expect(pipe.readBack(0, 64 * KIB)).rejects.toMatchObject({ code: 'no-room' })
    expect(budget.used).toBe(0)
  })

  it('whose write fails while chunks wait behind it drops them', async () => {
    const budget = new MemoryBudget(256 * KIB)
    budget.take(budget.maxBytes)
    const { pipe, told } = pipeInto(failingWriter(1), budget, 1024 * KIB)
    // The second one is too large for one batch with the first.
    await Promise.all([pipe.push(chunk(1, 200 * KIB)), pipe.push(chunk(2, 200 * KIB))])
    await pipe.settled()
    budget.give(budget.maxBytes)
    await expect(pipe.push(chunk(3))).rejects.toMatchObject({ code: 'no-room' })
    await pipe.settled()
    expect(told).toEqual({ written: [], moved: 0 })
  })

  it('goes on in memory, with all that came before', async () => {
    const budget = new MemoryBudget(256 * KIB)
    const { pipe, told } = pipeInto(failingWriter(2), budget, 192 * KIB)
    for (const value of [1, 2, 3]) {
      await pipe.push(chunk(value))
      await pipe.settled()
    }
    expect(told).toEqual({ written: [64 * KIB, 128 * KIB, 192 * KIB], moved: 1 })
    const body = Buffer.from(await pipe.readBack(0, 192 * KIB))
    expect([0, 64, 128].map((at) => body[at * KIB])).toEqual([1, 2, 3])
  })
})

it('a body of unknown length that outgrew memory takes nothing more, even when there is room again', async () => {
  const budget = new MemoryBudget(512 * KIB)
  const body = MemoryBody.reserve(budget, undefined)!
  budget.take(256 * KIB)
  const { pipe, told } = pipeInto(body, budget)
  await pipe.push(chunk(1, 256 * KIB))
  await pipe.settled()
  await pipe.push(chunk(2))
  await pipe.settled()
  budget.give(256 * KIB)
  await expect(pipe.push(chunk(3))).rejects.toMatchObject({ code: 'no-room' })
  await pipe.settled()
  expect(told.written).toEqual([256 * KIB])
})

describe('a body whose readers need no file', () => {
  const budget = () => new MemoryBudget(0)

  it('is written from its beginning once it is larger than what is held back', async () => {
    const { pipe, told } = pipeInto(failingWriter(0), budget(), 1024 * KIB, 512 * KIB)
    await pipe.push(chunk(1, 300 * KIB))
    await pipe.settled()
    expect(told.written).toEqual([])
    await pipe.push(chunk(2, 300 * KIB))
    expect(pipe.takeHeld()).toBeUndefined()
    await pipe.drained()
    expect(told.written.at(-1)).toBe(600 * KIB)
  })

  it('is written when its bytes are asked back', async () => {
    const { pipe } = pipeInto(failingWriter(0), budget(), 1024 * KIB, 512 * KIB)
    await pipe.push(chunk(1, 1 * KIB))
    expect(await pipe.readBack(0, KIB)).toEqual(chunk(1, KIB))
    expect(await pipe.readBack(0, KIB)).toEqual(chunk(1, KIB))
    await pipe.push(chunk(2, 1 * KIB))
    expect(pipe.takeHeld()).toBeUndefined()
    expect(await pipe.readBack(KIB, 2 * KIB)).toEqual(chunk(2, KIB))
  })

  it('is handed over whole when it ends before', async () => {
    const { pipe, told } = pipeInto(failingWriter(0), budget(), 2 * KIB, 512 * KIB)
    const chunks = [chunk(1, KIB), chunk(2, KIB)]
    for (const part of chunks) await pipe.push(part)
    expect(pipe.takeHeld()).toEqual(chunks)
    expect(told.written).toEqual([])
  })

  it('is handed over when it has no bytes at all', () => {
    expect(pipeInto(failingWriter(0), budget(), undefined, 512 * KIB).pipe.takeHeld()).toEqual([])
  })
})
