import { MillraceError } from '@millrace/common/errors'

/** A request that the edge turns down by itself: what the client would have to change is in `code` and `message`. */
export function refused(status: number, code: string, message: string): MillraceError {
  return new MillraceError(message, { code, source: 'client', retryable: false, status })
}
