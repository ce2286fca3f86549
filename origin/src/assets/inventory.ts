import type { HeldAsset } from '@millrace/common/contracts/origin-api'
import { type AssetRef, refKey } from './layout.js'
import type { HeldRecord } from './publish.js'

/** What the inventory keeps of an asset; whether it's live is asked of the disk, since quarantine works by removing a file. */
export type Holding = Omit<HeldAsset, 'live'>

/** Every committed asset, in the order of `<videoId>/<rev>`; built at the start, kept by commit and delete. */
export class Inventory {
  readonly #holdings = new Map<string, Holding>()
  /** Sorted. */
  readonly #keys: string[] = []

  get size(): number {
    return this.#keys.length
  }

  get(ref: AssetRef): Holding | undefined {
    return this.#holdings.get(refKey(ref))
  }

  add(ref: AssetRef, record: HeldRecord): void {
    const key = refKey(ref)
    const { assetSha256, bytes, committedAt } = record
    if (!this.#holdings.has(key)) this.#keys.splice(this.#position(key), 0, key)
    this.#holdings.set(key, { videoId: ref.videoId, rev: ref.rev, bytes, committedAt, assetSha256 })
  }

  remove(ref: AssetRef): void {
    const key = refKey(ref)
    if (this.#holdings.delete(key)) this.#keys.splice(this.#position(key), 1)
  }

  /** @param after the `next` of the page before; it need not exist any more. */
  page(after: string | undefined, limit: number): { items: Holding[]; next?: string } {
    let from = after === undefined ? 0 : this.#position(after)
    if (this.#keys[from] === after) from++
    const keys = this.#keys.slice(from, from + limit)
    const last = keys.at(-1)
    const more = from + limit < this.#keys.length
    return { items: keys.map((key) => this.#holdings.get(key)!), ...(more && last !== undefined && { next: last }) }
  }

  ofVideo(videoId: string): Holding[] {
    const items: Holding[] = []
    for (let i = this.#position(`${videoId}/`); this.#keys[i]?.startsWith(`${videoId}/`); i++)
      items.push(this.#holdings.get(this.#keys[i]!)!)
    return items
  }

  /** Of the first key that isn't smaller. */
  #position(key: string): number {
    let low = 0
    let high = this.#keys.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#keys[middle]! < key) low = middle + 1
      else high = middle
    }
    return low
  }
}
