import { MillraceError } from '@millrace/common/errors'
import type { PurgeLog } from './log.js'
import type { PurgeRecord, PurgeScope } from './record.js'

export interface PurgeOutcome {
  /** The purge's number. */
  generation: number
  /** Processes that serve, all of which know of it. */
  workers: number
}

export interface CarryOutOptions {
  log: Pick<PurgeLog, 'add'>
  /** Tells the workers; resolves with their number when each has it. Several at once, in any order. */
  tell: (record: PurgeRecord) => Promise<number>
}

/**
 * Carries a purge out: in force here, in force in every worker, on disk; then it is answered. A disk that hangs holds up the answer only.
 *
 * @throws MillraceError `purge-not-saved` (507): it is in force everywhere, but only until the next start.
 */
export async function carryOut(scope: PurgeScope, { log, tell }: CarryOutOptions): Promise<PurgeOutcome> {
  const { record, saved } = log.add(scope)
  const workers = await tell(record)
  if (!(await saved)) {
    throw new MillraceError('no cache disk took the purge: it holds until the next start', {
      code: 'purge-not-saved',
      source: 'disk',
      retryable: true,
    })
  }
  return { generation: record.n, workers }
}

/** Whether a purge that failed so is in force all the same: in every worker, or in those that live on. */
export function isInForce(error: unknown): boolean {
  return error instanceof MillraceError && (error.code === 'purge-not-saved' || error.code === 'purge-incomplete')
}
