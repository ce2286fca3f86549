import type { ReplicaResult } from '@millrace/common/contracts/events'
import type { OriginTarget, Placement } from '@millrace/common/contracts/transcode-job'
import { MillraceError, toErrorBody } from '@millrace/common/errors'

export interface FanOutOptions {
  placement: Placement
  /** Brings the asset to one origin, or throws. */
  deliver: (origin: OriginTarget) => Promise<void>
  signal: AbortSignal
}

/**
 * Delivers to the first `replicas` of the ranked list side by side; for each one that fails the next on the list takes its place.
 *
 * @returns one result per origin that was tried, at least `minReplicas` of them held.
 * @throws MillraceError `too-few-origins` (retryable) with each origin's reason; the signal's reason when aborted, once every delivery has ended.
 */
export async function fanOut(options: FanOutOptions): Promise<ReplicaResult[]> {
  const { placement, signal } = options
  const waiting = [...placement.origins]
  const results: ReplicaResult[] = []
  const oneReplica = async () => {
    for (let origin = waiting.shift(); origin && !signal.aborted; origin = waiting.shift()) {
      try {
        await options.deliver(origin)
        results.push({ originId: origin.id, state: 'held' })
        return
      } catch (error) {
        results.push({ originId: origin.id, state: 'failed', error: toErrorBody(error) })
      }
    }
  }
  await Promise.all(Array.from({ length: placement.replicas }, oneReplica))
  signal.throwIfAborted()
  const held = results.filter((result) => result.state === 'held').length
  if (held < placement.minReplicas) throw tooFew(held, placement.minReplicas, results)
  return results
}

function tooFew(held: number, wanted: number, results: ReplicaResult[]): MillraceError {
  const reasons = results.flatMap((result) =>
    result.state === 'failed'
      ? [`${result.originId}: ${result.error.code}: ${result.error.message}\n${result.error.detail ?? ''}`.trim()]
      : [],
  )
  return new MillraceError(`${held} of at least ${wanted} origins took the asset`, {
    code: 'too-few-origins',
    source: 'origin',
    retryable: true,
    detail: reasons.join('\n'),
  })
}
