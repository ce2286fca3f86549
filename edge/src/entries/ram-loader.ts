import { BLOCK_BYTES, type BodyReader } from '../cache/body.js'
import type { PurgeView } from '../purge/contract.js'
import type { OpenEntry } from './open-entry.js'
import type { OpenFiles } from './open-files.js'
import type { RamEntry, RamTier } from './ram-tier.js'

export interface RamLoaderDependencies {
  ram: RamTier
  files: OpenFiles
  purges: PurgeView
  onError: (error: unknown) => void
}

/** What a body is read with on its way into memory, at most. */
const LOAD_BUFFER_BYTES = 1 << 20

/** Brings stored entries into the RAM tier, behind the requests' backs. */
export class RamLoader {
  readonly #deps: RamLoaderDependencies

  constructor(dependencies: RamLoaderDependencies) {
    this.#deps = dependencies
  }

  /** The entry was served, and may stay in RAM. One whose bytes are here is taken within this turn: later it may have been replaced. */
  served(entry: OpenEntry): void {
    const { ram, files, purges, onError } = this.#deps
    const { meta, hash } = entry
    if (entry.left || !ram.wants(hash, meta.length, entry.uses)) return
    const read = async (): Promise<RamEntry | undefined> => {
      const body = files.body(entry)
      try {
        const bytes = await readWhole(body, meta.length)
        if (entry.left) return undefined
        return { hash, meta, head: entry.head, body: bytes, codings: undefined, countedAt: 0, checkedGeneration: purges.generation - 1 }
      } finally {
        body.close()
      }
    }
    ram.load(hash, meta.length, read).catch(onError)
  }
}

/** Reads a body into memory of its own, outside the JS heap. The buffer holds whole blocks, as what is unchecked is read in those. */
async function readWhole(body: BodyReader, length: number): Promise<Buffer> {
  const target = Buffer.allocUnsafeSlow(length)
  const block = Buffer.allocUnsafeSlow(Math.min(LOAD_BUFFER_BYTES, Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES))
  for (let at = 0; at < length; ) {
    const view = await body.read(block, at, length)
    target.set(view, at)
    at += view.length
  }
  return target
}
