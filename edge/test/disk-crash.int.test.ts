import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { fsck, isClean } from '../src/cache/fsck.js'
import { cacheKey } from '../src/cache/key.js'
import { emptyFolder, filesIn, openStore, parseEntry } from './cache-folder.js'
import { keyOf, put } from './store-contract.js'

const CHILD = fileURLToPath(new URL('disk-crash-child.mjs', import.meta.url))
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
  for (let round = 1; round <= ROUNDS; round++) {
    await runAndKill(round, 40 + ((round * 137) % 300))
    const store = await openStore([{ path: folder.path, size: BUDGET }], { lockWaitMs: 3000 })
    // At once, while the folders are still being compared: whatever is found is whole.
    for (let number = 0; number < KEYS; number += 17) {
      const key = cacheKey(`/crash/${number}`)
      const meta = await store.look(key)
      if (meta) expect(meta.key).toBe(key.text)
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
  expect(survivors).toBeGreaterThan(50)
  expect(isClean(await fsck([{ path: folder.path, size: BUDGET }]))).toBe(true)
})

it('a store that is killed keeps the order of use of its last checkpoint', async () => {
  await runAndKill(1, 500)
  const before = await openStore([{ path: folder.path, size: BUDGET }], { lockWaitMs: 3000 })
  await before.scanned()
  const known = Array.from({ length: KEYS }, (_, number) => cacheKey(`/crash/${number}`)).filter(({ hash }) => before.has(hash))
  // In an order that no time of a file tells.
  const used = known.filter((_key, index) => index % 3 === 0)
  for (const { hash } of used) before.used(hash)
  await before.close()
  const sizes = new Map<string, number>()
  for (const { path, bytes } of await Promise.all(
    (await filesIn(folder.path)).entries.map(async (path) => ({ path, bytes: (await readFile(path)).length })),
  )) {
    sizes.set(path.slice(-32), Math.ceil(bytes / 4096) * 4096)
  }
  const room = used.reduce((sum, { hash }) => sum + sizes.get(hash)!, 0)
  const after = await openStore([{ path: folder.path, size: room }], { lockWaitMs: 3000 })
  await after.scanned()
  expect(known.filter(({ hash }) => after.has(hash)).map(({ text }) => text)).toEqual(used.map(({ text }) => text))
  await until('the victims are gone', async () => (await filesIn(folder.path)).entries.length === used.length)
  await put(after, keyOf(1), Buffer.alloc(10))
  expect(after.has(used[0]!.hash)).toBe(false)
  await after.close()
})
