import { MPD, MULTIVARIANT_PLAYLIST } from '@millrace/common/contracts/asset'
import { formatMediaPath } from '@millrace/common/contracts/media-url'
import type { Playback } from '@millrace/common/contracts/playback'
import { formatRoute, MAX_ROUTE_ORIGINS, routeExpiry, signRoute } from '@millrace/common/contracts/route'
import type { EdgeConfig } from '../config.js'
import type { Pathway } from './hls.js'

export interface Playable {
  videoId: string
  rev: string
  title: string
  durationSeconds: number
  posterName: string | undefined
  /** Origins that hold it, best first. */
  holders: string[]
}

export interface RouteSigner {
  kid: string
  key: Buffer
}

/** The route that every URL of this video carries. */
export function routeFor(video: Playable, signer: RouteSigner | undefined, nowSeconds: number): string {
  const origins = video.holders.slice(0, MAX_ROUTE_ORIGINS)
  if (!signer) return formatRoute({ origins })
  return signRoute({ origins, exp: routeExpiry(nowSeconds, video.durationSeconds), ...signer, videoId: video.videoId, rev: video.rev })
}

/** What a player page needs: steered manifests, and the same from each edge alone. */
export function playbackAnswer(video: Playable, route: string, edges: readonly EdgeConfig[], publicUrl: string): Playback {
  const { videoId, rev } = video
  const file = (edge: EdgeConfig, name: string) => `${edge.url}/${route}${formatMediaPath({ kind: 'file', videoId, rev, name })}`
  return {
    version: 1,
    videoId,
    rev,
    title: video.title,
    durationSeconds: video.durationSeconds,
    route,
    steered: { hls: `${publicUrl}/play/${videoId}/${MULTIVARIANT_PLAYLIST}`, dash: `${publicUrl}/play/${videoId}/${MPD}` },
    edges: edges.map((edge) => ({
      id: edge.id,
      hls: file(edge, MULTIVARIANT_PLAYLIST),
      dash: file(edge, MPD),
      ...(video.posterName && { poster: file(edge, video.posterName) }),
    })),
  }
}

/** One pathway per edge. */
export function pathwaysFor(video: Playable, route: string, edges: readonly EdgeConfig[]): Pathway[] {
  return edges.map((edge) => ({ id: edge.id, baseUrl: `${edge.url}/${route}/files/${video.videoId}/${video.rev}/` }))
}
