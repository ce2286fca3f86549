import type { PurgeView } from './contract.js'
import { assetAt, isMediaKey, resourceOf, videoIdAt, videoIdStart } from './key-scope.js'
import { formatRecord, type PurgeRecord, parseRecord } from './record.js'
import { SharedLines } from './shared-lines.js'
import { VideoFilter } from './video-filter.js'

export interface PurgeLimits {
  /** Purges of videos, revisions and URLs of media that are remembered one by one. */
  records: number
  /** Likewise of URLs in generic mode, which any client can add to. */
  genericUrls: number
  /** Characters of their keys together. */
  urlText: number
  /** Videos that answer 410. */
  blocks: number
}

export const PURGE_LIMITS: PurgeLimits = { records: 100_000, genericUrls: 100_000, urlText: 16 << 20, blocks: 1_000_000 }

/** What goes at once when there are too many: the front of a Map is slow to find when entries are taken off it one by one. */
const BATCH = 64

/**
 * All purges. A purge is one number, whatever it covers: an entry is purged when a record of it has a higher number than the entry's
 * generation, and nothing is looked for on disk.
 *
 * Bounded: beyond the limits the oldest records become a floor, below which everything counts as purged. To purge too much costs a
 * fetch, to forget a purge serves what was withdrawn. URLs in generic mode have limits and a floor of their own: unsafe requests, which
 * anybody may send, make records of them, and media are never purged by that. Blocks beyond their limit are forgotten oldest first: those
 * videos are then purged, and answered as the origins answer.
 */
export class PurgeTable implements PurgeView {
  /** Entries of a lower generation are purged: the latest purge of everything, or of what was forgotten. */
  #floor = 0
  /** Likewise, for entries of generic mode alone. */
  #genericFloor = 0
  #generation = 0
  // Each in the order of its numbers, oldest first. A video is in one of the first two.
  readonly #blocks = new Map<string, number>()
  readonly #videos = new Map<string, number>()
  readonly #revisions = new Map<string, number>()
  readonly #mediaUrls = new Map<string, number>()
  readonly #genericUrls = new Map<string, number>()
  /** Videos that a record of a video or a revision names. */
  readonly #named = new VideoFilter()
  #urlText = 0
  /** Of the table as it is: kept by those who read it. */
  #snapshot: WeakRef<SharedLines> | undefined
  readonly #limits: PurgeLimits

  constructor(limits: PurgeLimits = PURGE_LIMITS) {
    this.#limits = limits
  }

  get generation(): number {
    return this.#generation
  }

  /** Records that are kept. */
  get size(): number {
    return (
      this.#blocks.size + this.#records() + this.#genericUrls.size + (this.#floor > 0 ? 1 : 0) + (this.#genericFloor > this.#floor ? 1 : 0)
    )
  }

  covers(entry: { key: string; generation: number }): boolean {
    const { key, generation } = entry
    // Nearly every entry on a site that seldom purges: no look-up at all.
    if (generation >= this.#generation) return false
    if (generation < this.#floor) return true
    if (!isMediaKey(key)) {
      return generation < this.#genericFloor || (this.#genericUrls.size > 0 && later(this.#genericUrls.get(resourceOf(key)), generation))
    }
    const start = videoIdStart(key)
    if (start > 0 && this.#named.mayHave(key, start)) {
      const videoId = videoIdAt(key, start)
      if (later(this.#videos.get(videoId), generation) || later(this.#blocks.get(videoId), generation)) return true
      if (later(this.#revisions.get(assetAt(key, start)), generation)) return true
    }
    return this.#mediaUrls.size > 0 && later(this.#mediaUrls.get(key), generation)
  }

  blocks(videoId: string): boolean {
    return this.#blocks.size > 0 && this.#blocks.has(videoId)
  }

  /** Any order and any number of times gives the same answers. */
  apply(record: PurgeRecord): void {
    const { n } = record
    this.#snapshot = undefined
    this.#generation = Math.max(this.#generation, n)
    switch (record.scope) {
      case 'all':
        this.#raiseFloor(n)
        break
      case 'video':
        this.#applyVideo(record.videoId, n, record.block)
        break
      case 'revision':
        this.#named.add(record.videoId)
        if (n > this.#floor) put(this.#revisions, `${record.videoId}/${record.rev}`, n)
        break
      case 'url':
        this.#applyUrl(record.key, n)
        break
      case 'generic':
        this.#raiseGenericFloor(n)
        break
    }
    this.#bound()
  }

  /**
   * Lines for another process, made as they are read: there may be a million. A purge that comes while they are read is or is not among
   * them; who reads is told of it anyway.
   */
  snapshot(): Iterable<string> {
    let lines = this.#snapshot?.deref()
    if (!lines) {
      lines = new SharedLines(this.#lines())
      this.#snapshot = new WeakRef(lines)
    }
    return lines
  }

  /** What is kept, in the order of its numbers. */
  records(): PurgeRecord[] {
    return [...this.#each()].sort((a, b) => a.n - b.n)
  }

  /** Takes over what `snapshot` gave, or a part of it. A line that is none makes everything count as purged: what it said is not known. */
  restore(lines: Iterable<string>): void {
    let unreadable = false
    for (const line of lines) {
      const record = parseRecord(line)
      if (record) this.apply(record)
      else unreadable = true
    }
    if (unreadable) this.apply({ n: this.#generation + 1, scope: 'all' })
  }

  *#each(): Generator<PurgeRecord, void> {
    if (this.#floor > 0) yield { n: this.#floor, scope: 'all' }
    for (const [videoId, n] of this.#blocks) yield { n, scope: 'video', videoId, block: true }
    for (const [videoId, n] of this.#videos) yield { n, scope: 'video', videoId, block: false }
    for (const [asset, n] of this.#revisions) {
      const [videoId, rev] = asset.split('/') as [string, string]
      yield { n, scope: 'revision', videoId, rev }
    }
    if (this.#genericFloor > this.#floor) yield { n: this.#genericFloor, scope: 'generic' }
    for (const urls of [this.#mediaUrls, this.#genericUrls]) for (const [key, n] of urls) yield { n, scope: 'url', key }
  }

  *#lines(): Generator<string, void> {
    const [floor, genericFloor] = [this.#floor, this.#genericFloor]
    for (const record of this.#each()) yield formatRecord(record)
    // What was forgotten meanwhile was not among them.
    if (this.#floor > floor) yield formatRecord({ n: this.#floor, scope: 'all' })
    if (this.#genericFloor > genericFloor) yield formatRecord({ n: this.#genericFloor, scope: 'generic' })
  }

  #applyVideo(videoId: string, n: number, block: boolean): void {
    this.#named.add(videoId)
    if (block || this.#blocks.has(videoId)) {
      // A later purge of a deleted video doesn't bring it back.
      put(this.#blocks, videoId, Math.max(n, this.#videos.get(videoId) ?? 0))
      this.#videos.delete(videoId)
    } else if (n > this.#floor) {
      put(this.#videos, videoId, n)
    }
  }

  #applyUrl(key: string, n: number): void {
    if (isMediaKey(key)) {
      if (n > this.#floor) put(this.#mediaUrls, key, n)
    } else if (n > Math.max(this.#floor, this.#genericFloor) && put(this.#genericUrls, key, n)) {
      this.#urlText += key.length
    }
  }

  #raiseFloor(floor: number): void {
    if (floor <= this.#floor) return
    this.#floor = floor
    this.#forgetUpTo(floor, [this.#videos, this.#revisions, this.#mediaUrls, this.#genericUrls])
  }

  #raiseGenericFloor(floor: number): void {
    if (floor <= this.#genericFloor) return
    this.#genericFloor = floor
    this.#forgetUpTo(floor, [this.#genericUrls])
  }

  /** Records below a floor say nothing that it doesn't; one that came out of order may stay among the later ones. */
  #forgetUpTo(floor: number, among: readonly Map<string, number>[]): void {
    for (const records of among)
      for (const [key, n] of records) {
        if (n > floor) break
        this.#forget(records, key)
      }
  }

  #bound(): void {
    while (this.#blocks.size > this.#limits.blocks) {
      let floor = 0
      for (const [videoId, n] of first(this.#blocks, BATCH)) {
        this.#blocks.delete(videoId)
        floor = Math.max(floor, n)
      }
      this.#raiseFloor(floor)
    }
    while (this.#records() > this.#limits.records) {
      this.#raiseFloor(this.#forgetOldest([this.#videos, this.#revisions, this.#mediaUrls]))
    }
    while (this.#genericUrls.size > this.#limits.genericUrls || this.#urlText > this.#limits.urlText) {
      this.#raiseGenericFloor(this.#forgetOldest([this.#genericUrls]))
    }
  }

  /** @returns the highest number that was forgotten */
  #forgetOldest(among: readonly Map<string, number>[]): number {
    const oldest = among.flatMap((records) => [...first(records, BATCH)].map(([key, n]) => ({ records, key, n })))
    oldest.sort((a, b) => a.n - b.n)
    let highest = 0
    for (const { records, key, n } of oldest.slice(0, BATCH)) {
      this.#forget(records, key)
      highest = Math.max(highest, n)
    }
    return highest
  }

  #forget(records: Map<string, number>, key: string): void {
    if (records.delete(key) && records === this.#genericUrls) this.#urlText -= key.length
  }

  #records(): number {
    return this.#videos.size + this.#revisions.size + this.#mediaUrls.size
  }
}

function later(n: number | undefined, generation: number): boolean {
  return n !== undefined && n > generation
}

/** Puts the key last, where its number belongs. @returns whether it is new. */
function put(records: Map<string, number>, key: string, n: number): boolean {
  const before = records.get(key)
  if (before !== undefined && before >= n) return false
  records.delete(key)
  records.set(key, n)
  return before === undefined
}

function* first<T>(all: Iterable<T>, count: number): Generator<T> {
  let taken = 0
  for (const one of all) {
    if (taken++ >= count) return
    yield one
  }
}
