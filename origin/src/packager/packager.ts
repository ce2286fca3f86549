import type { Asset } from '@millrace/common/contracts/asset'
import type { MediaPath } from '@millrace/common/contracts/media-url'

/** What every packager gives: the origin serves these, the manifests are written from them. The seam for embedded and nginx-vod-module. */
export interface Packager {
  readonly name: 'embedded' | 'nginx-vod'
  /**
   * Exact segment durations in seconds per sequence file, in the order of `sequencesOf(asset)`; text sequences get [].
   *
   * @throws MillraceError `bad-media` (source-media, not retryable) for files it can't package.
   */
  segmentDurations(folder: string, asset: Asset): Promise<number[][]>
  /** An init or a fragment; undefined when the segment number, the sequence or its kind of media doesn't exist. */
  build(folder: string, asset: Asset, path: SegmentPath): Promise<Built | undefined>
  /** Forgets cached indexes of an asset that was deleted or quarantined. */
  forget(folder: string): void
}

export type SegmentPath = MediaPath & { kind: 'init' | 'fragment' }

/** A response body: header bytes made here, then ranges of one file, in order. */
export interface Built {
  contentType: string
  /** Of the whole body, in bytes. */
  length: number
  /** Strong, with its quotes; the same on every origin. */
  etag: string
  head: Buffer
  file?: { path: string; ranges: ByteRange[] }
}

export interface ByteRange {
  offset: number
  length: number
}
