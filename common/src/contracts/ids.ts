import { randomBytes } from 'node:crypto'
import { z } from 'zod'

/** A lowercase ULID: 10 characters of milliseconds, 16 of randomness. */
export const videoIdSchema = z.string().regex(/^[0-9a-z]{26}$/, 'a video id is 26 lowercase letters and digits')
export type VideoId = z.infer<typeof videoIdSchema>

/** One attempt's immutable output: `r<attempt>`. */
export const revSchema = z.string().regex(/^r[1-9][0-9]{0,8}$/, "a revision is 'r' and a number from 1")
export type Rev = z.infer<typeof revSchema>

/** Names an origin, an edge or a transcoder. `.` and `~` are taken by routes, so they can't occur here. */
export const NODE_ID = /^[a-z0-9-]{1,32}$/
export const nodeIdSchema = z.string().regex(NODE_ID, 'a node id is 1 to 32 of a-z, 0-9 and -')
export type NodeId = z.infer<typeof nodeIdSchema>

/** nginx-vod-module sequence id; a `-` would end it. */
export const sequenceIdSchema = z.string().regex(/^[a-z][a-z0-9]{0,15}$/, 'a sequence id is a letter and up to 15 letters and digits')

/** nginx-vod-module takes at most 32 sequences in one mapping. */
export const MAX_SEQUENCES = 32

const CROCKFORD = '0123456789abcdefghjkmnpqrstvwxyz'

/** A new ULID (https://github.com/ulid/spec), lowercase. */
export function newVideoId(now: number = Date.now(), random: (bytes: number) => Uint8Array = randomBytes): VideoId {
  let time = ''
  for (let i = 0, rest = now; i < 10; i++, rest = Math.floor(rest / 32)) time = CROCKFORD[rest % 32] + time
  let tail = ''
  for (const byte of random(16)) tail += CROCKFORD[byte & 31]
  return time + tail
}

export function revOf(attempt: number): Rev {
  return `r${attempt}`
}

/** @returns the attempt number in a revision that `revSchema` accepts. */
export function attemptOf(rev: Rev): number {
  return Number(rev.slice(1))
}
