import { MillraceError } from '@millrace/common/errors'
import { BODY_BROKEN } from './cache/body.js'

/** A request that the edge turns down by itself: what the client would have to change is in `code` and `message`. */
export function refused(status: number, code: string, message: string): MillraceError {
  return new MillraceError(message, { code, source: 'client', retryable: false, status })
}

export function videoDeleted(): MillraceError {
  return refused(410, 'video-deleted', 'this video was deleted')
}

/** The bytes of a body will not come: from another place they may. */
export function isBroken(error: unknown): boolean {
  return error instanceof MillraceError && error.code === BODY_BROKEN
}
