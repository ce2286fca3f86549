import type { ReplicaResult } from '@millrace/common/contracts/events'
import type { OriginTarget, Placement } from '@millrace/common/contracts/transcode-job'
import type { Logger } from '@millrace/common/log'
import type { Metrics } from '../metrics.js'
import { fanOut } from './fan-out.js'
import type { OriginClient, Parcel } from './origin.js'

export interface Publisher {
  /**
   * Brings a parcel to its origins.
   *
   * @param onBytes bytes sent to all origins together.
   * @throws what `fanOut` throws; nothing is then left on any origin that can be reached.
   */
  publish(parcel: Parcel, placement: Placement, signal: AbortSignal, onBytes: (bytes: number) => void): Promise<ReplicaResult[]>
  /** Takes a revision that will never be announced off these origins. */
  withdraw(origins: OriginTarget[], videoId: string, rev: string): Promise<void>
}

export function createPublisher(client: OriginClient, metrics: Metrics, log: Logger): Publisher {
  const withdraw = async (origins: OriginTarget[], videoId: string, rev: string) => {
    const results = await Promise.allSettled(origins.map((origin) => client.withdraw(origin, videoId, rev)))
    results.forEach((result, at) => {
      if (result.status === 'fulfilled') return
      // The CMS sweeps revisions that were never announced, as soon as that origin answers again.
      metrics.withdrawFailed()
      log.warn({ err: result.reason, originId: origins[at]!.id, videoId, rev }, 'a dead revision stays on an origin until it is swept')
    })
  }
  return {
    withdraw,
    async publish(parcel, placement, signal, onBytes) {
      const sent = new Map<string, number>()
      const deliver = async (origin: OriginTarget) => {
        sent.set(origin.id, 0)
        try {
          await client.deliver(origin, parcel, signal, (bytes) => {
            sent.set(origin.id, bytes)
            onBytes([...sent.values()].reduce((sum, each) => sum + each, 0))
          })
          metrics.replica('held')
        } catch (error) {
          sent.set(origin.id, 0)
          metrics.replica('failed')
          log.warn({ err: error, originId: origin.id, videoId: parcel.videoId, rev: parcel.rev }, 'an origin did not take the asset')
          throw error
        }
      }
      try {
        const results = await fanOut({ placement, deliver, signal })
        const failed = new Set(results.flatMap((result) => (result.state === 'failed' ? [result.originId] : [])))
        // What a failed origin has of it is only in its way: its replica will be pulled from a sibling.
        await withdraw(
          placement.origins.filter((origin) => failed.has(origin.id)),
          parcel.videoId,
          parcel.rev,
        )
        return results
      } catch (error) {
        await withdraw(
          placement.origins.filter((origin) => sent.has(origin.id)),
          parcel.videoId,
          parcel.rev,
        )
        throw error
      }
    },
  }
}
