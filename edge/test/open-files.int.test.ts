import { mkdir, open as openHandle, readdir, readlink, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BLOCK_BYTES } from '../src/cache/body.js'
import { BODY_OFFSET, encodeEntry } from '../src/cache/entry-format.js'
import type { EntryMeta } from '../src/cache/entry-meta.js'
import { cacheKey } from '../src/cache/key.js'
import { OpenFiles } from '../src/entries/open-files.js'
import { PreparedHead } from '../src/entries/prepared-head.js'
import { newId } from './cache-folder.js'
import { tempFolder } from './edge.js'
import { bytesOf } from './origin.js'

const LENGTH = 3 * BLOCK_BYTES + 1000

describe('stored entries as a worker reads them', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let files: OpenFiles
  let damaged: string[]
  let verified: number
  let clock: number
  const key = cacheKey('/dash/a')
  const body = bytesOf(key.text, LENGTH)
  const pathOf = (hash: string) => join(folder.path, hash.slice(0, 2), hash)

  const metaOf = (text: string, length: number): EntryMeta => ({
    id: newId(),
    key: text,
    status: 200,
    headers: [],
    length,
    origin: 'o1',
    generation: 0,
    bornAt: 0,
    freshUntil: 1,
    staleWhileRevalidate: 0,
    staleIfError: 0,
  })
  const put = async (text: string, bytes: Buffer, under = cacheKey(text).hash) => {
    const path = pathOf(under)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(`${path}.new`, encodeEntry(metaOf(text, bytes.length), bytes))
    await rename(`${path}.new`, path)
  }
  const overwrite = async (at: number, bytes: Buffer) => {
    const handle = await openHandle(pathOf(key.hash), 'r+')
    await handle.write(bytes, 0, bytes.length, at)
    await handle.close()
  }
  const readAll = async (start = 0, end = LENGTH) => {
    const entry = await files.find(key)
    if (!entry) return undefined
    const reader = files.body(entry)
    const buffer = Buffer.alloc(2 * BLOCK_BYTES)
    const parts: Buffer[] = []
    try {
      for (let at = start; at < end; ) {
        const view = await reader.read(buffer, at, end)
        if (view.length === 0) break
        parts.push(Buffer.from(view))
        at += view.length
      }
    } finally {
      reader.close()
    }
    return Buffer.concat(parts)
  }

  /** Descriptors of this process that are files of this test. */
  const openHere = async () => {
    const targets = await Promise.all((await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
    return targets.filter((target) => target.startsWith(folder.path))
  }

  beforeEach(async () => {
    folder = await tempFolder()
    damaged = []
    verified = 0
    clock = 1_000_000
    files = new OpenFiles({
      places: { path: pathOf, setOut: () => undefined },
      maxOpen: 2,
      verifyMs: 10_000,
      now: () => clock,
      prepare: (meta) => new PreparedHead(meta, { common: '', hit: () => '' }),
      onDamaged: (_hash, _id, error) => damaged.push(error.message),
      onVerified: (blocks) => {
        verified += blocks
      },
    })
  })
  afterEach(async () => {
    files.clear()
    await folder.remove()
  })

  it('are not there when there is no file', async () => {
    expect(await files.find(key)).toBeUndefined()
    expect(damaged).toEqual([])
  })

  it.each([
    ['a header', 30],
    ['the table of checksums', BODY_OFFSET + LENGTH + 2],
  ])('are refused when a byte of %s is wrong', async (_what, at) => {
    await put(key.text, body)
    await overwrite(at, Buffer.from([0xff]))
    expect(await files.find(key)).toBeUndefined()
    expect(damaged).toHaveLength(1)
  })

  it('are refused when the file is cut short, or another key has this name', async () => {
    await put(key.text, body)
    const handle = await openHandle(pathOf(key.hash), 'r+')
    await handle.truncate(BODY_OFFSET + 1000)
    await handle.close()
    expect(await files.find(key)).toBeUndefined()
    await put('/dash/b', body, key.hash)
    expect(await files.find(key)).toBeUndefined()
    expect(damaged).toHaveLength(2)
  })

  it('give out no byte of a block whose checksum is wrong', async () => {
    await put(key.text, body)
    await overwrite(BODY_OFFSET + BLOCK_BYTES + 5, Buffer.from([body[BLOCK_BYTES + 5]! ^ 1]))
    await expect(readAll(BLOCK_BYTES + 100, BLOCK_BYTES + 200)).rejects.toMatchObject({ code: 'body-broken', source: 'disk' })
    expect(damaged[0]).toContain('block 1')
    expect(await readAll(0, BLOCK_BYTES)).toEqual(body.subarray(0, BLOCK_BYTES))
  })

  it('are checked again at once when the file was written to after it was checked', async () => {
    await put(key.text, body)
    expect(await readAll()).toEqual(body)
    await overwrite(BODY_OFFSET + 5, Buffer.from([body[5]! ^ 1]))
    await expect(readAll()).rejects.toMatchObject({ code: 'body-broken' })
  })

  it('are checked once in a while, however often they are read', async () => {
    await put(key.text, body)
    await readAll()
    await readAll()
    expect(verified).toBe(4)
    clock += 10_001
    await readAll()
    expect(verified).toBe(8)
  })

  it('read the same from any place to any place', async () => {
    await put(key.text, body)
    for (const [start, end] of [
      [0, 1],
      [LENGTH - 1, LENGTH],
      [BLOCK_BYTES - 1, BLOCK_BYTES + 1],
      [5, LENGTH - 5],
      [3 * BLOCK_BYTES + 999, LENGTH],
    ] as const) {
      expect(await readAll(start, end)).toEqual(body.subarray(start, end))
    }
  })

  it('keep a reader of theirs going when they are replaced, and a bounded number of descriptors', async () => {
    await put(key.text, body)
    const entry = await files.find(key)
    const reader = files.body(entry!)
    files.forget(key.hash)
    await put(key.text, bytesOf('other', LENGTH))
    const buffer = Buffer.alloc(BLOCK_BYTES)
    expect(Buffer.from(await reader.read(buffer, 0, 1000))).toEqual(body.subarray(0, 1000))
    expect((await readAll(0, 1000))!.equals(bytesOf('other', LENGTH).subarray(0, 1000))).toBe(true)
    reader.close()
    for (const name of ['b', 'c', 'd', 'e']) {
      await put(name, body)
      await files.find(cacheKey(name))
    }
    expect(files.open).toBe(2)
    await until('two open files', async () => (await openHere()).length === 2)
  })

  it('are not found any more as they were when they were replaced while they were opened', async () => {
    const other = bytesOf('other', LENGTH)
    await put(key.text, body)
    const before = files.find(key)
    await put(key.text, other)
    files.forget(key.hash)
    const after = files.find(key)
    await Promise.all([before, after])
    expect(await readAll()).toEqual(other)
    expect(await files.find(key)).toBe(await after)
  })

  it('give no bytes once they are closed, and close nothing twice', async () => {
    await put(key.text, body)
    const entry = (await files.find(key))!
    files.forget(key.hash)
    await until('a closed file', async () => (await openHere()).length === 0)
    await put('/dash/b', body)
    const neighbour = (await files.find(cacheKey('/dash/b')))!
    expect(() => files.body(entry)).toThrow(expect.objectContaining({ code: 'body-broken' }))
    expect(damaged).toEqual([])
    const reader = files.body(neighbour)
    expect(await reader.read(Buffer.alloc(BLOCK_BYTES), 0, 100)).toEqual(body.subarray(0, 100))
    reader.close()
  })

  it('that are small are read at once, where a wrong byte of theirs is found', async () => {
    const small = body.subarray(0, 2000)
    await put(key.text, small)
    const entry = (await files.find(key))!
    expect(entry.whole).toEqual(small)
    expect(await readAll(10, 1990)).toEqual(small.subarray(10, 1990))
    await overwrite(BODY_OFFSET + 5, Buffer.from([small[5]! ^ 1]))
    expect(await files.find(key)).toBeUndefined()
    expect(damaged[0]).toContain('block 0')
  })

  it('that are small keep no descriptor, and are found as they are at that time', async () => {
    const other = bytesOf('other', 2000)
    await put(key.text, body.subarray(0, 2000))
    const entry = (await files.find(key))!
    await put(key.text, other)
    expect(Buffer.from(await files.body(entry).read(Buffer.alloc(0), 0, 2000))).toEqual(body.subarray(0, 2000))
    expect(await readAll(0, 2000)).toEqual(other)
    expect(await openHere()).toEqual([])
    expect(files.open).toBe(0)
  })

  it('leave no descriptor behind when they went while they were opened and only their heads were needed', async () => {
    await put(key.text, body)
    const mine = async () => {
      const targets = await Promise.all((await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
      return targets.filter((target) => target === pathOf(key.hash)).length
    }
    const finding = files.find(key)
    files.forget(key.hash)
    const entry = await finding
    expect(entry?.left).toBe(true)
    await until('the close', async () => (await mine()) === 0)
  })

  it('are opened once for many that ask at the same time', async () => {
    await put(key.text, body)
    const found = await Promise.all(Array.from({ length: 50 }, () => files.find(key)))
    expect(new Set(found).size).toBe(1)
  })
})
