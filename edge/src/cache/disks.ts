import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { EntryPlaces } from './store.js'

export interface CacheDisk {
  path: string
  /** Bytes that the cache may take there. */
  size: number
  /** Whether a file system has to be mounted right at the path. */
  mounted?: boolean
}

export const SHARD = /^[0-9a-f]{2}$/
export const TMP_NAME = /^[0-9a-f]{32}-[0-9a-f]{12}$/

/** The format's version is in the path: another format is another tree. */
export interface DiskLayout {
  /** `<path>/v2`. */
  root: string
  /** Entries that are still coming in, as `<hash>-<12 hex digits>`. */
  tmp: string
  /** The checkpoint of the order of use. */
  index: string
  /** The tree of the format before this one. */
  outdated: string
}

export function diskLayout(path: string): DiskLayout {
  const root = join(path, 'v2')
  return { root, tmp: join(root, 'tmp'), index: join(root, 'index'), outdated: join(path, 'v1') }
}

/** `<root>/<first two digits>/<hash>`: 256 folders. */
export function entryPath(root: string, hash: string): string {
  return `${root}/${hash.slice(0, 2)}/${hash}`
}

/** @param name 12 hex digits, never the same twice */
export function tmpPath(layout: DiskLayout, hash: string, name: string): string {
  return `${layout.tmp}/${hash}-${name}`
}

interface Candidate {
  number: number
  path: string
  root: string
  weight: number
  seed: number
}

/**
 * Spreads entries over disks by weighted rendezvous hashing: each disk gets a score from the hash, and the highest has the entry. So a
 * disk that is taken out moves its own entries and no others, and they come back with it.
 */
export class Disks implements EntryPlaces {
  readonly #all: readonly Candidate[]
  #in: readonly Candidate[]

  constructor(disks: readonly CacheDisk[]) {
    this.#all = disks.map(({ path, size }, number) => ({ number, path, root: diskLayout(path).root, weight: size, seed: crc32(path) }))
    this.#in = this.#all
  }

  path(hash: string): string | undefined {
    const disk = this.#choose(hash)
    return disk && entryPath(disk.root, hash)
  }

  /** Which disk, by its place in the configuration; undefined when every disk is out. */
  number(hash: string): number | undefined {
    return this.#choose(hash)?.number
  }

  setOut(paths: readonly string[]): void {
    this.#in = this.#all.filter(({ path }) => !paths.includes(path))
  }

  #choose(hash: string): Candidate | undefined {
    if (this.#in.length < 2) return this.#in[0]
    const word = Number.parseInt(hash.slice(0, 8), 16)
    let chosen: Candidate | undefined
    let best = -1
    for (const disk of this.#in) {
      // Within (0, 1), so that the logarithm is finite and negative.
      const uniform = (mix(word ^ disk.seed) + 0.5) / 2 ** 32
      const score = -disk.weight / Math.log(uniform)
      if (score > best) {
        best = score
        chosen = disk
      }
    }
    return chosen
  }
}

/** The finalizer of MurmurHash3: every bit of the input changes half of the output's. */
function mix(word: number): number {
  let h = word
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
