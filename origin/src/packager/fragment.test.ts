import { describe, expect, it } from 'vitest'
import { type Synthetic, syntheticMoov } from '../../test/synthetic-moov.js'
import { type Box, boxesIn, requireBox } from './boxes.js'
import { buildFragment, fragmentHeaderBytes } from './fragment.js'
import { buildInit } from './init.js'
import { readSampleTable } from './sample-table.js'
import { cutSegments } from './segmenter.js'

function fragments(given: Synthetic) {
  const table = readSampleTable(syntheticMoov(given), given.media ?? 'video', 2 ** 50)
  const starts = cutSegments(table, 4000)
  return starts.slice(1).map((end, i) => buildFragment(table, starts[i]!, end, i))
}
const times = ({ payload }: Box) => Array.from({ length: payload.length / 4 }, (_, i) => payload.readInt32BE(4 * i))

describe('ranges', () => {
  it('are several where the samples of a segment are apart, and one where they only lie in several chunks', () => {
    const apart = fragments({ timescale: 1, stts: [[4, 1]], sizes: [10, 20, 30, 40], stsc: [[1, 1, 1]], chunks: [1000, 1010, 500, 530] })
    expect(apart.map(({ ranges }) => ranges)).toEqual([
      [
        { offset: 1000, length: 30 },
        { offset: 500, length: 70 },
      ],
    ])
  })

  it('begin inside a chunk where a segment does', () => {
    const two = fragments({
      timescale: 1,
      stts: [[6, 1]],
      stss: [1, 5],
      sizes: [1, 2, 4, 8, 16, 32],
      stsc: [[1, 3, 1]],
      chunks: [100, 200],
    })
    expect(two.map(({ ranges }) => ranges)).toEqual([
      [
        { offset: 100, length: 7 },
        { offset: 200, length: 8 },
      ],
      [{ offset: 208, length: 48 }],
    ])
  })

  it('leave out samples without bytes', () => {
    const [only] = fragments({ timescale: 1, stts: [[3, 1]], sizes: [0, 5, 0], stsc: [[1, 1, 1]], chunks: [7, 100, 300] })
    expect(only!.ranges).toEqual([{ offset: 100, length: 5 }])
  })
})

describe('times', () => {
  it('above 13 hours take 64 bits', () => {
    const stts: [number, number][] = [[60, 1000]]
    const head = fragments({ timescale: 1, stts, sizes: Array<number>(60).fill(1) }).at(-1)!.head
    const tfdt = requireBox(head, 'moof/traf/tfdt').payload
    expect([tfdt[0], Number(tfdt.readBigUInt64BE(4))]).toEqual([1, 59_000 * 90_000])
    const sidx = requireBox(head, 'sidx').payload
    expect([sidx[0], Number(sidx.readBigUInt64BE(12))]).toEqual([1, 59_000 * 90_000])
    expect(sidx.readUInt32BE(32)).toBe(head.length - 24 - 52 + 1)
    expect(sidx.readUInt32BE(36)).toBe(1000 * 90_000)
  })

  it('of an init segment above 13 hours take 64 bits', () => {
    const table = readSampleTable(syntheticMoov({ timescale: 1, stts: [[60, 1000]], sizes: Array<number>(60).fill(1) }), 'video', 2 ** 50)
    const init = buildInit(table)
    for (const path of ['moov/mvhd', 'moov/trak/mdia/mdhd'])
      expect(Number(requireBox(init, path).payload.readBigUInt64BE(24))).toBe(60_000 * 90_000)
    expect(Number(requireBox(init, 'moov/trak/tkhd').payload.readBigUInt64BE(28))).toBe(60_000 * 90_000)
    expect(requireBox(init, 'moov/mvhd').payload).toHaveLength(112)
  })

  it('begin at 0 whatever the first composition offset, also with negative ones', () => {
    for (const shift of [0, 2, -1]) {
      const ctts = [2, 4, 1, 3].map((offset): [number, number] => [1, offset + shift])
      const [only] = fragments({ timescale: 25, stts: [[4, 1]], ctts, stss: [1], sizes: [1, 1, 1, 1] })
      const trun = times(requireBox(only!.head, 'moof/traf/trun'))
      expect([6, 10, 14, 18].map((at) => trun[at])).toEqual([0, 7200, -3600, 3600])
      expect(times(requireBox(only!.head, 'sidx'))[3]).toBe(0)
    }
  })
})

it('a header is never larger than manifests reckon with', () => {
  for (const media of ['video', 'audio'] as const) {
    const [first, last] = [fragments({ media, timescale: 1, stts: [[60, 1000]], sizes: Array<number>(60).fill(1) })].map((all) => [
      all[0]!,
      all.at(-1)!,
    ])[0]!
    expect(last!.head.length).toBe(fragmentHeaderBytes(media, 1))
    expect(first!.head.length).toBeLessThanOrEqual(fragmentHeaderBytes(media, 1))
  }
})

it('the boxes of a fragment are in the order players expect', () => {
  const [only] = fragments({ timescale: 25, stts: [[4, 1]], sizes: [1, 1, 1, 1] })
  const whole = Buffer.concat([only!.head, Buffer.alloc(4)])
  expect([...boxesIn(whole)].map(({ type }) => type)).toEqual(['styp', 'sidx', 'moof', 'mdat'])
})
