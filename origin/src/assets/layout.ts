import { join } from 'node:path'
import type { Rev, VideoId } from '@millrace/common/contracts/ids'

/** One revision of one video: what every path, lock and cache entry here is about. */
export interface AssetRef {
  videoId: VideoId
  rev: Rev
}

export function refKey(ref: AssetRef): string {
  return `${ref.videoId}/${ref.rev}`
}

/**
 * Where everything lies. Below `root` (one filesystem):
 *
 *   staging/<videoId>/<rev>/   written by transcoders through rsync, never trusted
 *   assets/<videoId>/<rev>/    committed, immutable
 *   tmp/                       half-made commits
 *   trash/                     what was deleted, until its bytes are gone
 *
 * Below `state`: map/<videoId>/<rev>/ (vod.json, manifests/, held.json, live), tmp/, rsyncd/.
 */
export interface Layout {
  root: string
  stagingRoot: string
  assetsRoot: string
  mapRoot: string
  tmp: string
  trash: string
  stateTmp: string
  rsyncd: string
  staged: (ref: AssetRef) => string
  asset: (ref: AssetRef) => string
  map: (ref: AssetRef) => string
  /** Tested before every answer about an asset: no marker, no answer. */
  live: (ref: AssetRef) => string
  manifest: (ref: AssetRef, name: string) => string
}

export function createLayout(root: string, state: string): Layout {
  const stagingRoot = join(root, 'staging')
  const assetsRoot = join(root, 'assets')
  const mapRoot = join(state, 'map')
  const map = (ref: AssetRef) => join(mapRoot, ref.videoId, ref.rev)
  return {
    root,
    stagingRoot,
    assetsRoot,
    mapRoot,
    tmp: join(root, 'tmp'),
    trash: join(root, 'trash'),
    stateTmp: join(state, 'tmp'),
    rsyncd: join(state, 'rsyncd'),
    staged: (ref) => join(stagingRoot, ref.videoId, ref.rev),
    asset: (ref) => join(assetsRoot, ref.videoId, ref.rev),
    map,
    live: (ref) => join(map(ref), LIVE),
    manifest: (ref, name) => join(map(ref), MANIFESTS, name),
  }
}

/** Names inside a map folder. */
export const LIVE = 'live'
export const MANIFESTS = 'manifests'
export const VOD_JSON = 'vod.json'
export const HELD_JSON = 'held.json'
