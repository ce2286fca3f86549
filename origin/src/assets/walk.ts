import { join } from 'node:path'
import { revSchema, videoIdSchema } from '@millrace/common/contracts/ids'
import { namesIn } from './durable.js'
import type { AssetRef } from './layout.js'

/** Every `<videoId>/<rev>` below a folder, in order; names that aren't ids are passed over. */
export async function refsIn(root: string): Promise<AssetRef[]> {
  const refs: AssetRef[] = []
  for (const videoId of await namesIn(root)) {
    if (!videoIdSchema.safeParse(videoId).success) continue
    for (const rev of await namesIn(join(root, videoId))) if (revSchema.safeParse(rev).success) refs.push({ videoId, rev })
  }
  return refs
}
