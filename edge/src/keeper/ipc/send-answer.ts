import { MillraceError } from '@millrace/common/errors'
import type { OriginAnswer } from '../../origin/contract.js'
import type { Connection } from './connection.js'
import { type AnswerPart, errorMessage } from './messages.js'
import { MAX_TAIL_BYTES } from './wire.js'

/** Whether a body went over whole; `failed`: its origin, or nobody kept it any more; `left`: nobody wants the rest. */
export type AnswerSent = 'whole' | 'failed' | 'left'

/**
 * An answer's body, as the last thing that is said on a connection. It goes as fast as the other side reads: who is slow slows the origin's
 * transfer, and no more than what both sockets hold waits in memory.
 */
export async function sendAnswer(connection: Connection, answer: OriginAnswer | undefined): Promise<AnswerSent> {
  if (!answer) return end(connection, { t: 'failed', error: errorMessage(gone()) })
  connection.handOver({ onFrame: () => undefined, onClose: () => answer.discard() })
  answer.leaveFills()
  try {
    for await (const chunk of answer.body) {
      for (let at = 0; at < chunk.length; at += MAX_TAIL_BYTES) {
        connection.send({ t: 'part' } satisfies AnswerPart, chunk.subarray(at, at + MAX_TAIL_BYTES))
        await connection.room()
      }
      if (connection.closed) return 'left'
    }
  } catch (error) {
    return end(connection, { t: 'failed', error: errorMessage(error) })
  }
  return end(connection, { t: 'end' })
}

function end(connection: Connection, part: AnswerPart): AnswerSent {
  if (connection.closed) return 'left'
  connection.send(part)
  connection.end()
  return part.t === 'end' ? 'whole' : 'failed'
}

function gone(): MillraceError {
  return new MillraceError('the answer is not kept any more', {
    code: 'origin-unreachable',
    source: 'internal',
    retryable: true,
    status: 502,
  })
}
