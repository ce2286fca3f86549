import { access } from 'node:fs/promises'
import { type Asset, type AssetFile, MPD, MULTIVARIANT_PLAYLIST, playlistName, sequencesOf } from '@millrace/common/contracts/asset'
import { LRUCache } from 'lru-cache'
import { ifPresent } from './durable.js'
import { type AssetRef, type Layout, refKey } from './layout.js'
import { readOwnAssetJson } from './verify.js'

const CACHE_BYTES = 128 * 2 ** 20
/** Parsed, an asset.json takes about this many times its text. */
const PARSED_FACTOR = 4

/** An asset with what every request about it needs. */
export interface AssetView {
  asset: Asset
  folder: string
  files: ReadonlyMap<string, AssetFile>
  /** The names of the manifests that were rendered for it. */
  manifests: ReadonlySet<string>
}

/** Reads committed assets; remembers what is in them, never whether they are live. */
export class AssetReader {
  readonly #layout: Layout
  readonly #views = new LRUCache<string, { view: AssetView; jsonBytes: number }>({
    maxSize: CACHE_BYTES,
    sizeCalculation: (entry) => PARSED_FACTOR * entry.jsonBytes + 1024,
  })

  constructor(layout: Layout) {
    this.#layout = layout
  }

  /** @returns undefined for what isn't there or may not be served: the marker is looked for every time. */
  async readLive(ref: AssetRef): Promise<AssetView | undefined> {
    return (await this.isLive(ref)) ? await this.read(ref) : undefined
  }

  async isLive(ref: AssetRef): Promise<boolean> {
    return (await ifPresent(access(this.#layout.live(ref)).then(() => true))) ?? false
  }

  async read(ref: AssetRef): Promise<AssetView> {
    const key = refKey(ref)
    const known = this.#views.get(key)
    if (known) return known.view
    const folder = this.#layout.asset(ref)
    const { asset, jsonBytes } = await readOwnAssetJson(folder, ref)
    const view: AssetView = {
      asset,
      folder,
      files: new Map(asset.files.map((file) => [file.name, file])),
      manifests: new Set([MULTIVARIANT_PLAYLIST, MPD, ...sequencesOf(asset).map((file) => playlistName(file.name))]),
    }
    this.#views.set(key, { view, jsonBytes })
    return view
  }

  forget(ref: AssetRef): void {
    this.#views.delete(refKey(ref))
  }
}
