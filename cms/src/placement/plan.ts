import type { ReplicaRow } from '../db/schema.js'

export interface ReplicaPlan {
  /** Origins that are to fetch a replica, best first. */
  wanted: string[]
  /** Of these, the ones whose turn it is: healthy, and not waiting after a failure. */
  due: string[]
}

/**
 * Where replicas are missing. `ranked` is the placement list of the video: the first ones that don't hold it are wanted, and an
 * origin that is down is still wanted, since its return is cheaper than a copy elsewhere.
 */
export function planReplicas(
  ranked: readonly string[],
  replicas: readonly Pick<ReplicaRow, 'origin_id' | 'state' | 'retry_at'>[],
  healthy: (id: string) => boolean,
  wantedCount: number,
  now: Date,
): ReplicaPlan {
  const row = (id: string) => replicas.find((replica) => replica.origin_id === id)
  const held = ranked.filter((id) => row(id)?.state === 'held')
  const missing = Math.max(0, wantedCount - held.length)
  const wanted = ranked.filter((id) => !held.includes(id)).slice(0, missing)
  const due = wanted.filter((id) => healthy(id) && (row(id)?.retry_at ?? now) <= now)
  return { wanted, due }
}

/** Whether enough origins of the fleet hold it. */
export function isFull(
  origins: readonly string[],
  replicas: readonly Pick<ReplicaRow, 'origin_id' | 'state'>[],
  wantedCount: number,
): boolean {
  return replicas.filter((replica) => replica.state === 'held' && origins.includes(replica.origin_id)).length >= wantedCount
}

/** Milliseconds until a failed pull is tried again. */
export function pullBackoff(tries: number): number {
  return Math.min(5 * 60_000, 2000 * 2 ** Math.max(0, tries - 1))
}
