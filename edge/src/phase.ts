import type { CachePhase } from '@millrace/common/contracts/edge-api'
import type { MediaClass } from '@millrace/common/contracts/media-url'
import type { MissCause } from './keeper/contract.js'

/** What a request asked for: a metrics label, so a closed set. */
export const REQUEST_CLASSES = ['segment', 'init', 'playlist', 'text', 'image', 'download', 'generic', 'none'] as const
export type RequestClass = MediaClass | 'generic' | 'none'

/** Where the bytes of an answer came from: a metrics label. `edge`: made here (errors, preflights). */
export const TIERS = ['ram', 'disk', 'fill', 'origin', 'edge'] as const
export type Tier = (typeof TIERS)[number]

/** One value per answered request; the `x-cache` header, Cache-Status, the log field and the metric labels are read from it and nowhere else. */
export interface Decision {
  phase: CachePhase
  class: RequestClass
  tier: Tier
  /** Whose bytes these are; absent when the edge answered by itself. */
  origin?: string
  /** On `miss`. */
  cause?: MissCause
  /** On `miss`: whether a disk is taking it. */
  stored?: boolean
}
