import type { MediaClass } from '@millrace/common/contracts/media-url'

/** Why a response is not stored; a log field. */
export type NoCacheReason =
  | 'status'
  | 'directive'
  | 'authorization'
  | 'encoded'
  | 'vary'
  | 'too-large'
  | 'head-too-large'
  | 'unframed'
  | 'no-lifetime'

export interface Lifetimes {
  bornAt: number
  freshUntil: number
  staleWhileRevalidate: number
  staleIfError: number
}

export type Verdict = ({ store: true } & Lifetimes) | { store: false; reason: NoCacheReason }

/** A response's head as far as caching cares; header names in lower case, several lines of one name joined by a comma. */
export interface Judged {
  status: number
  headers: Readonly<Record<string, string | undefined>>
  /** Body bytes, where the origin says so. */
  length: number | undefined
  /** When the request was sent, in Unix milliseconds: what passed until the response came counts as age (RFC 9111 §4.2.3). */
  requestedAt?: number | undefined
}

/** What kind of resource it is: media may have lifetimes of its class, a generic resource only what its origin says. */
export type Resource = { mode: 'media'; media: MediaClass } | { mode: 'generic'; authorized: boolean }

export interface StalePolicy {
  /** For media paths whose origin says nothing of them, in milliseconds. */
  whileRevalidate: number
  ifError: number
}
