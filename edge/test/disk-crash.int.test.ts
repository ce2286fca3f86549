import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { fsck, isClean } from '../src/cache/fsck.js'
import { cacheKey } from '../src/cache/key.js'
import { emptyFolder, filesIn, openStore, parseEntry, readEntry } from './cache-folder.js'

const CHILD = fileURLToPath(new URL('disk-crash-child.mjs', import.meta.url))
const ORDER_CHILD = fileURLToPath(new URL('disk-order-child.mjs', import.meta.url))
/** What an entry of the second one's takes on the disk. */
const ENTRY_BYTES = 6 * 4096
const KEYS = 1000
const BUDGET = 24 << 20
const ROUNDS = 15

let folder: Awaited<ReturnType<typeof emptyFolder>>
let child: ChildProcess | undefined
beforeEach(async () => {
  folder = await emptyFolder()
})
afterEach(async () => {
  if (child && child.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  await folder.remove()
})

/** Resolves when the process has stored `count` entries and was killed then, in the middle of the next ones. */
async function runAndKill(round: number, count: number): Promise<void> {
  const running = spawn(process.execPath, [CHILD, folder.path, String(BUDGET), String(KEYS), String(round)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child = running
  const ended = once(running, 'exit')
  let stored = 0
  for await (const _line of createInterface({ input: running.stdout })) if (++stored === count) running.kill('SIGKILL')
  expect((await ended)[1]).toBe('SIGKILL')
}

it('a store that is killed again and again, at any moment, has no torn entry, no leftovers, and keeps to its budget', async () => {
  let survivors = 0
  let found = 0
  for (let round = 1; round <= ROUNDS; round++) {
    await runAndKill(round, 40 + ((round * 137) % 300))
    const store = await openStore([{ path: folder.path, size: BUDGET }], { lockWaitMs: 3000 })
    // At once, while the folders are still being compared: whatever is found is whole.
    for (let number = 0; number < KEYS; number += 17) {
      const key = cacheKey(`/crash/${number}`)
      const meta = await store.look(key)
      if (!meta) continue
      found++
      const { meta: stored, body } = await readEntry(folder.path, key)
      expect(stored).toEqual(meta)
      if (!body.equals(Buffer.alloc(meta.length, meta.id))) throw new Error(`${key.text} has bytes of another entry`)
    }
    await store.scanned()
    const [stats] = store.stats()
    const { entries, others, bytes } = await filesIn(folder.path)
    expect(others).toEqual([])
    expect(entries.length).toBe(stats!.objects)
    expect([bytes <= BUDGET, bytes]).toEqual([true, stats!.bytes])
    for (const path of entries) {
      const { meta, body } = parseEntry(await readFile(path))
      if (!body.equals(Buffer.alloc(body.length, meta.id))) throw new Error(`${path} holds bytes of another entry`)
    }
    survivors = entries.length
    await store.close()
  }
  expect([survivors > 50, found > 20]).toEqual([true, true])
  expect(isClean(await fsck([{ path: folder.path, size: BUDGET }]))).toBe(true)
})

it('a store that is killed keeps the order of use of its last checkpoint', async () => {
  const keys = Array.from({ length: 60 }, (_, number) => cacheKey(`/order/${number}`))
  const running = spawn(process.execPath, [ORDER_CHILD, folder.path, String(BUDGET), String(keys.length)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child = running
  const ended = once(running, 'exit')
  for await (const _line of createInterface({ input: running.stdout })) running.kill('SIGKILL')
  expect((await ended)[1]).toBe('SIGKILL')
  // Every third, from the last to the first.
  const used = keys.filter((_, number) => (keys.length - 1 - number) % 3 === 0)
  const left = async (entries: number) => {
    const store = await openStore([{ path: folder.path, size: entries * ENTRY_BYTES }], { lockWaitMs: 3000 })
    await store.scanned()
    const kept = keys.filter(({ hash }) => store.has(hash)).map(({ text }) => text)
    await until('the victims are gone', async () => (await filesIn(folder.path)).entries.length === entries)
    await store.close()
    return kept
  }
  expect(await left(used.length)).toEqual(used.map(({ text }) => text))
  expect(await left(5)).toEqual(used.slice(0, 5).map(({ text }) => text))
})
