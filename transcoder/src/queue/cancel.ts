import { CANCEL_CHANNEL } from '@millrace/common/contracts/redis'
import type { Redis } from 'ioredis'

export interface CancelWatch {
  /** Calls `onCancel` when someone cancels this job, until the returned function is called. */
  watch(jobId: string, onCancel: () => void): () => void
}

/** @param subscriber a connection of its own: one that subscribes can do nothing else. */
export async function createCancelWatch(subscriber: Redis): Promise<CancelWatch> {
  const watched = new Map<string, () => void>()
  subscriber.on('message', (_channel: string, jobId: string) => watched.get(jobId)?.())
  await subscriber.subscribe(CANCEL_CHANNEL)
  return {
    watch(jobId, onCancel) {
      watched.set(jobId, onCancel)
      return () => watched.delete(jobId)
    },
  }
}
