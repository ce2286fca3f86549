import { MillraceError } from '@millrace/common/errors'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { GOLDEN_ASSET } from '../../test/golden.js'
import { type Synthetic, syntheticMoov } from '../../test/synthetic-moov.js'
import { box, words } from './boxes.js'
import { buildFragment } from './fragment.js'
import { buildInit } from './init.js'
import { readMoov } from './moov.js'
import { memoryOf, readSampleTable } from './sample-table.js'
import { cutSegments } from './segmenter.js'

const FILE_BYTES = 2 ** 40
const fine: Synthetic = { stts: [[4, 3000]], stss: [1, 3], sizes: [10, 20, 30, 40], chunks: [1000] }
const read = (given: Synthetic, fileBytes = FILE_BYTES) => readSampleTable(syntheticMoov(given), given.media ?? 'video', fileBytes)
const badMedia = expect.objectContaining({ code: 'bad-media' })

describe('refuses', () => {
  const wrong: [string, Synthetic, number?][] = [
    ['no samples', { stts: [], sizes: [] }],
    ['more samples than any real file', { stts: [[2 ** 25, 1]], sizes: { constant: 1, count: 2 ** 25 } }],
    ['4 billion samples of a constant size', { stts: [[0xffffffff, 1]], sizes: { constant: 1, count: 0xffffffff } }],
    ['constant sizes beyond the end of the file', { stts: [[1000, 1]], sizes: { constant: 1000, count: 1000 } }, 999_999],
    ['samples beyond the end of the file', fine, 1099],
    ['a chunk beyond 2^53', { ...fine, co64: true, chunks: [2 ** 60] }],
    ['times for too few samples', { ...fine, stts: [[3, 3000]] }],
    ['times for too many samples', { ...fine, stts: [[5, 3000]] }],
    ['times for 4 billion samples', { ...fine, stts: [[0xffffffff, 3000]] }],
    ['times that overflow', { ...fine, stts: Array.from({ length: 3 }, () => [0xffffffff, 0xffffffff]) }],
    ['a year of video', { ...fine, timescale: 1, stts: [[4, 7_884_000]] }],
    ['a timescale of 0', { ...fine, timescale: 0 }],
    ['an absurd timescale', { ...fine, timescale: 0xffffffff }],
    ['composition offsets for too few samples', { ...fine, ctts: [[3, 0]] }],
    ['composition offsets for 4 billion samples', { ...fine, ctts: [[0xffffffff, 0]] }],
    ['an absurd composition offset', { ...fine, timescale: 1, ctts: [[4, 20_000]] }],
    ['sync samples out of order', { ...fine, stss: [3, 1] }],
    ['a sync sample twice', { ...fine, stss: [1, 1] }],
    ['sync samples beyond the last', { ...fine, stss: [1, 5] }],
    ['more sync samples than samples', { ...fine, stss: [1, 2, 3, 4, 5] }],
    ['a chunk without samples', { ...fine, stsc: [[1, 0, 1]] }],
    ['a chunk of 4 billion samples', { ...fine, stsc: [[1, 0xffffffff, 1]] }],
    ['too few samples in chunks', { ...fine, stsc: [[1, 3, 1]] }],
    ['more chunks than samples', { ...fine, stsc: [[1, 1, 1]], chunks: [0, 1, 2, 3, 4] }],
    ['chunk runs that do not begin with the first', { ...fine, stsc: [[2, 4, 1]] }],
    [
      'chunk runs out of order',
      {
        ...fine,
        stsc: [
          [1, 2, 1],
          [2, 1, 1],
          [2, 1, 1],
        ],
        chunks: [0, 100, 200],
      },
    ],
    ['a second sample description', { ...fine, stsc: [[1, 4, 2]] }],
    ['two sample entries', { ...fine, entries: 2 }],
  ]
  it.each(wrong)('%s', (_, given, fileBytes) => {
    expect(() => read(given, fileBytes)).toThrow(badMedia)
  })

  it.each(['stts', 'stsc', 'stsz', 'stco', 'stss', 'ctts'])('a count in %s that its box cannot hold, before making room for it', (type) => {
    const moov = syntheticMoov({ ...fine, ctts: [[4, 0]] })
    moov.writeUInt32BE(0x7fffffff, moov.indexOf(type) + (type === 'stsz' ? 12 : 8))
    expect(() => readSampleTable(moov, 'video', FILE_BYTES)).toThrow(badMedia)
  })

  it('a track of the other kind', () => {
    expect(() => readSampleTable(syntheticMoov(fine), 'audio', FILE_BYTES)).toThrow(badMedia)
  })

  it('a million empty boxes', () => {
    const moov = Buffer.concat(Array.from({ length: 1_000_000 }, () => words(8, 0x66726565)))
    expect(() => readSampleTable(moov, 'video', FILE_BYTES)).toThrow(badMedia)
  })

  it('a box within a box that is larger than it', () => {
    const moov = box('trak', words(100, 0x6d646961))
    expect(() => readSampleTable(moov, 'video', FILE_BYTES)).toThrow(badMedia)
  })
})

describe('reads', () => {
  it('all tables', () => {
    const table = read({
      ...fine,
      ctts: [
        [1, 6000],
        [3, -3000],
      ],
    })
    expect(table).toMatchObject({ media: 'video', timescale: 90_000, count: 4, duration: 12_000 })
    expect([...(table.sizes as Uint32Array)]).toEqual([10, 20, 30, 40])
    expect([...table.compositionOffsets!]).toEqual([6000, -3000, -3000, -3000])
    expect([...table.syncSamples!]).toEqual([0, 2])
  })

  it('offsets above 4 GiB', () => {
    expect([...read({ ...fine, co64: true, chunks: [5 * 2 ** 32 + 7] }).extents.offset]).toEqual([5 * 2 ** 32 + 7])
  })

  it('chunks that follow each other as one extent, others apart', () => {
    const table = read({ ...fine, stsc: [[1, 1, 1]], chunks: [100, 110, 500, 530] })
    expect([...table.extents.first]).toEqual([0, 2])
    expect([...table.extents.offset]).toEqual([100, 500])
  })

  it('a track in less than 10 bytes per sample', () => {
    const sizes = Array.from({ length: 100_000 }, (_, i) => 100 + (i % 7))
    const ctts = sizes.map((_, i): [number, number] => [1, (i % 3) * 3000])
    const stss = sizes.flatMap((_, i) => (i % 50 === 0 ? [i + 1] : []))
    expect(memoryOf(read({ stts: [[100_000, 3000]], ctts, stss, sizes }))).toBeLessThan(1_000_000)
  })
})

describe('whatever the bytes', async () => {
  const files = await Promise.all(
    (['video', 'audio'] as const).map(async (media) => {
      const name = media === 'video' ? 'video-180p.mp4' : 'audio-eng.mp4'
      return { media, ...(await readMoov(`${GOLDEN_ASSET}/${name}`)) }
    }),
  )
  const packageAll = (moov: Buffer, media: 'video' | 'audio', fileBytes: number) => {
    try {
      const table = readSampleTable(moov, media, fileBytes)
      const starts = cutSegments(table, 4000)
      buildInit(table)
      for (let i = 1; i < Math.min(starts.length, 20); i++) buildFragment(table, starts[i - 1]!, starts[i]!, i - 1)
    } catch (error) {
      if (!(error instanceof MillraceError) || error.code !== 'bad-media') throw error
    }
  }
  const anyFile = fc.constantFrom(...files)
  const interesting = fc.oneof(fc.constantFrom(0, 1, 2, 0x7fffffff, 0x80000000, 0xffffffff), fc.nat(0xffffffff))

  it('a cut moov gives bad-media or a whole result, nothing else', () => {
    fc.assert(
      fc.property(anyFile, fc.nat(5000), ({ moov, media, fileBytes }, length) => packageAll(moov.subarray(0, length), media, fileBytes)),
    )
  })

  it('so do flipped bits', () => {
    fc.assert(
      fc.property(
        anyFile,
        fc.array(fc.tuple(fc.nat(4970), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        ({ moov, media, fileBytes }, flips) => {
          const mutated = Buffer.from(moov)
          for (const [at, mask] of flips) mutated[at % moov.length]! ^= mask
          packageAll(mutated, media, fileBytes)
        },
      ),
      { numRuns: 1500 },
    )
  })

  it('so do words overwritten with absurd numbers', () => {
    fc.assert(
      fc.property(
        anyFile,
        fc.array(fc.tuple(fc.nat(4970), interesting), { minLength: 1, maxLength: 4 }),
        ({ moov, media, fileBytes }, changes) => {
          const mutated = Buffer.from(moov)
          for (const [at, value] of changes) mutated.writeUInt32BE(value, at % (moov.length - 4))
          packageAll(mutated, media, fileBytes)
        },
      ),
      { numRuns: 1500 },
    )
  })

  it('so do arbitrary tables', () => {
    const pairs = fc.array(fc.tuple(fc.oneof(fc.nat(20), interesting), interesting), { maxLength: 4 })
    const synthetic = fc.record({
      media: fc.constantFrom('video' as const, 'audio' as const),
      timescale: fc.oneof(fc.constantFrom(1, 600, 90_000), interesting),
      stts: pairs,
      ctts: fc.option(pairs, { nil: undefined }),
      stss: fc.option(fc.array(fc.nat(20), { maxLength: 4 }), { nil: undefined }),
      sizes: fc.oneof(fc.array(interesting, { maxLength: 20 }), fc.record({ constant: interesting, count: interesting })),
      chunks: fc.array(interesting, { minLength: 1, maxLength: 4 }),
    })
    fc.assert(
      fc.property(synthetic, ({ ctts, stss, ...rest }) => {
        packageAll(syntheticMoov({ ...rest, ...(ctts && { ctts }), ...(stss && { stss }) }), rest.media, FILE_BYTES)
      }),
      { numRuns: 1500 },
    )
  })
})
