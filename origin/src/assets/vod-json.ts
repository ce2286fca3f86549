import { join } from 'node:path'
import { type Asset, sequencesOf } from '@millrace/common/contracts/asset'

/** The mapping of nginx-vod-module: the k-th sequence is `f<k>` in data URLs. `folder` is the asset's absolute path. */
export function renderVodJson(asset: Asset, folder: string): string {
  const sequences = sequencesOf(asset).map((file) => ({
    id: file.sequence,
    ...(file.role !== 'video' && { language: file.language, label: file.label }),
    clips: [{ type: 'source', path: join(folder, file.name) }],
  }))
  return `${JSON.stringify({ id: asset.videoId, sequences }, null, 1)}\n`
}
