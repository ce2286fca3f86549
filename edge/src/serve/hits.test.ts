import { expect, it } from 'vitest'
import { PurgeTable } from '../purge/table.js'
import { Hits, type HitsDependencies } from './hits.js'

const VIDEO = '01hzy3v8k2m4n6p8q0r2s4t6v8'

it('a deleted video is no hit in RAM, even if it was fetched after the keeper knew of its deletion and before this worker did', () => {
  const meta = { key: `/dash/${VIDEO}/r1/init-f1-v1-x3.mp4`, freshUntil: 1000, generation: 7 }
  const held = new Map([['a', { hash: 'a', meta, checkedGeneration: 6 }]])
  const ram = { peek: (hash: string) => held.get(hash), forget: (hash: string) => held.delete(hash) }
  const purges = new PurgeTable()
  const hits = new Hits({ ram, purges } as unknown as HitsDependencies)
  expect(hits.ram('a', 0)).toBeDefined()
  purges.apply({ n: 7, scope: 'video', videoId: VIDEO, block: true })
  expect([hits.ram('a', 0), held.size]).toEqual([undefined, 0])
})
