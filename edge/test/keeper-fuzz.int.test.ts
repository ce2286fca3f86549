import { setImmediate as turn } from 'node:timers/promises'
import { MillraceError } from '@millrace/common/errors'
import { until } from '@millrace/common/testing/until'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { bytesOf, startOrigin, type TestOrigin } from './origin.js'
import { readAll, startKeeper, type TestKeeper } from './test-keeper.js'

let o1: TestOrigin
let test: TestKeeper
beforeEach(async () => {
  o1 = await startOrigin()
  test = await startKeeper([o1])
})
afterEach(async () => {
  await test.close()
  await o1.stop()
})

const upTo = (max: number) => fc.option(fc.integer({ min: 0, max }), { nil: undefined, freq: 2 })

const scenario = fc.record({
  length: fc.oneof(fc.integer({ min: 0, max: 70_000 }), fc.integer({ min: 60_000, max: 900_000 })),
  told: fc.boolean(),
  chunks: fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1, maxLength: 12 }),
  breakAt: upTo(900_000),
  failWriteAt: upTo(900_000),
  failCommit: fc.boolean(),
  noRoom: fc.boolean(),
  purgeAfter: upTo(5),
  readers: fc.array(fc.record({ from: fc.integer({ min: 0, max: 900_000 }), turns: fc.integer({ min: 0, max: 20 }) }), {
    minLength: 1,
    maxLength: 8,
  }),
})

it("gives every reader the origin's bytes or a clean error, and leaves nothing behind", async () => {
  let number = 0
  await fc.assert(
    fc.asyncProperty(scenario, async (given) => {
      const path = `/files/01hzy3v8k2m4n6p8q0r2s4t6v8/r1/${++number}.bin`
      const body = bytesOf(path, given.length)
      o1.behave((_request, response) => {
        void send(response, body, given)
      })
      test.store.failures.write = (at) => {
        if (given.failWriteAt !== undefined && at >= given.failWriteAt) throw new Error('EIO')
      }
      test.store.failures.commit = () => {
        if (given.failCommit) throw new Error('ENOSPC')
      }
      test.store.full = given.noRoom
      const breaks = given.breakAt !== undefined && given.breakAt < given.length
      await Promise.all(
        given.readers.map(async ({ from, turns }) => {
          for (let i = 0; i < turns; i++) await turn()
          const found = await test.find(path)
          if (found.kind === 'exhausted') return expect(breaks).toBe(true)
          if (found.kind !== 'body' && found.kind !== 'stored') throw new Error(found.kind)
          const reader = found.kind === 'stored' ? found.entry.body : found.body
          for (let i = 0; i < turns; i++) await turn()
          const start = Math.min(from, given.length)
          try {
            const read = await readAll(reader, start, given.told ? given.length : undefined)
            expect(read.equals(body.subarray(start))).toBe(true)
          } catch (error) {
            // A file whose fill could not be stored may be gone before a reader had it open.
            const mayBreak = breaks || given.failCommit || given.purgeAfter !== undefined
            if (!mayBreak || !(error instanceof MillraceError) || error.code !== 'body-broken') throw error
          }
        }),
      )
      if (given.purgeAfter !== undefined) test.purge()
      await test.keeper.idle()
      await until('memory and descriptors to be free', () => test.keeper.memoryBytes === 0 && test.files.size === 0)
      expect(await test.tmp()).toEqual([])
    }),
    { numRuns: 150 },
  )
})

async function send(
  response: Parameters<Parameters<TestOrigin['behave']>[0]>[1],
  body: Buffer,
  { told, chunks, breakAt }: { told: boolean; chunks: number[]; breakAt: number | undefined },
): Promise<void> {
  response.writeHead(200, { 'content-type': 'video/mp4', ...(told && { 'content-length': body.length }) })
  response.flushHeaders()
  let at = 0
  for (let i = 0; at < body.length; i++) {
    // Chunks of a byte or two, but not a million of them.
    const size = Math.max(chunks[i % chunks.length]!, Math.ceil(body.length / 300))
    const end = Math.min(at + size, body.length)
    if (breakAt !== undefined && breakAt < end) {
      response.write(body.subarray(at, breakAt), () => response.destroy())
      return
    }
    response.write(body.subarray(at, end))
    at = end
    await turn()
  }
  response.end()
}
