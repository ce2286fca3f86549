import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { BLOCK_BYTES } from '../src/cache/body.js'
import { DiskStore, type DiskStoreOptions } from '../src/cache/disk-store.js'
import { entryPath } from '../src/cache/disks.js'
import { BODY_OFFSET, decodeHeader, decodeTable, fileBytes, HEADER_BYTES, tableOffset } from '../src/cache/entry-format.js'
import type { EntryMeta } from '../src/cache/entry-meta.js'
import type { CacheKey } from '../src/cache/key.js'

/** A store that throws what nobody expected. */
export function openStore(disks: DiskStoreOptions['disks'], more: Partial<DiskStoreOptions> = {}): Promise<DiskStore> {
  return DiskStore.open({
    disks,
    now: Date.now,
    lockWaitMs: 0,
    onGone: () => {},
    onDisk: (path, state, error) => {
      throw new Error(`${path} is ${state}`, { cause: error })
    },
    onFault: (operation, error) => {
      throw new Error(`unexpected fault in ${operation}`, { cause: error })
    },
    ...more,
  })
}

export async function emptyFolder(): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'millrace-cache-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

export function pathOf(folder: string, key: CacheKey): string {
  return entryPath(join(folder, 'v2'), key.hash)
}

/** What an entry's file holds, checked to the last byte. @throws when anything is not as it should be */
export function parseEntry(file: Buffer): { meta: EntryMeta; body: Buffer } {
  const header = decodeHeader(file.subarray(0, HEADER_BYTES))
  if (!header) throw new Error('no header')
  const { length } = header.meta
  if (file.length !== fileBytes(length)) throw new Error('wrong size')
  const checksums = decodeTable(file.subarray(tableOffset(length)), header)
  if (!checksums) throw new Error('no table')
  const body = file.subarray(BODY_OFFSET, BODY_OFFSET + length)
  checksums.forEach((checksum, block) => {
    if (crc32(body.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES)) !== checksum) throw new Error(`block ${block} is damaged`)
  })
  return { meta: header.meta, body }
}

export async function readEntry(folder: string, key: CacheKey): Promise<{ meta: EntryMeta; body: Buffer }> {
  return parseEntry(await readFile(pathOf(folder, key)))
}

/** Paths of all entries and of what else is there, with what they take on disk. */
export async function filesIn(folder: string): Promise<{ entries: string[]; others: string[]; bytes: number }> {
  const entries: string[] = []
  const others: string[] = []
  let bytes = 0
  for (const file of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue
    const path = join(file.parentPath, file.name)
    if (path === join(folder, 'v2', 'index')) continue
    if (/\/v2\/([0-9a-f]{2})\/\1[0-9a-f]{30}$/.test(path)) entries.push(path)
    else others.push(path)
    const info = await stat(path).catch(() => undefined)
    bytes += Math.ceil((info?.size ?? 0) / 4096) * 4096
  }
  return { entries, others, bytes }
}

export function newId(): string {
  return randomBytes(8).toString('hex')
}
