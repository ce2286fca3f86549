import type { CachePhase } from '@millrace/common/contracts/edge-api'
import type { MediaClass } from '@millrace/common/contracts/media-url'

/** What a request asked for: a metrics label, so a closed set. */
export type RequestClass = MediaClass | 'none'
export const REQUEST_CLASSES: readonly RequestClass[] = ['segment', 'init', 'playlist', 'text', 'image', 'download', 'none']

/** One value per answered request; the `x-cache` header, the log field and the metric label are read from it and nowhere else. */
export interface Decision {
  phase: CachePhase
  class: RequestClass
  /** Whose bytes these are; absent when the edge answered by itself. */
  origin?: string
}
