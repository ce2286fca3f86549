import { createHash } from 'node:crypto'

/** A steering manifest (RFC 8216bis, 7.1; DASH uses the same names). */
export interface SteeringManifest {
  VERSION: 1
  /** Seconds until the player asks again. */
  TTL: number
  'PATHWAY-PRIORITY': string[]
}

export function steeringManifest(edges: readonly { id: string }[], ttlMs: number): SteeringManifest {
  return { VERSION: 1, TTL: Math.max(1, Math.round(ttlMs / 1000)), 'PATHWAY-PRIORITY': edges.map((edge) => edge.id) }
}

/**
 * The edges for a video, best first: the healthy ones in configured order, rotated by a hash of the video, so that a title has its
 * edge and titles spread. With none healthy it's all of them: a try is better than none, and the prober may be the one cut off.
 */
export function orderEdges<E extends { id: string }>(videoId: string, edges: readonly E[], isHealthy: (id: string) => boolean): E[] {
  const start = createHash('sha256').update(videoId).digest().readUInt32BE(0) % edges.length
  const rotated = [...edges.slice(start), ...edges.slice(0, start)]
  const healthy = rotated.filter((edge) => isHealthy(edge.id))
  return healthy.length > 0 ? healthy : rotated
}
