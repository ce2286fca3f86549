import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { GOLDEN_ASSET, goldenAsset } from '../../test/golden.js'
import { renderVodJson } from './vod-json.js'

describe('renderVodJson', () => {
  it('gives the mapping that the real module was fed with', () => {
    const golden = JSON.parse(readFileSync(`${GOLDEN_ASSET}/vod.json`, 'utf8'))
    const asset = goldenAsset()
    const { sequences } = JSON.parse(renderVodJson(asset, `/srv/millrace/assets/${asset.videoId}/${asset.rev}`))
    expect(sequences).toEqual(golden.sequences)
  })
})
