import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PurgeRecord } from './record.js'
import { PURGE_LIMITS, PurgeTable } from './table.js'

const VIDEO = '01hzy3v8k2m4n6p8q0r2s4t6v8'
const OTHER = '01hzy3v8k2m4n6p8q0r2s4t6v9'
const media = (videoId: string, rev = 'r1', family = 'dash') => `/${family}/${videoId}/${rev}/main.m3u8`

function tableOf(...records: PurgeRecord[]): PurgeTable {
  const table = new PurgeTable()
  for (const record of records) table.apply(record)
  return table
}

describe('a purge', () => {
  it.each<[string, PurgeRecord, string, boolean]>([
    ['of everything covers a media key', { n: 5, scope: 'all' }, media(VIDEO), true],
    ['of everything covers a generic key', { n: 5, scope: 'all' }, 'o1 /a?b=1', true],
    ['of all generic mode covers a generic key', { n: 5, scope: 'generic' }, 'o1 /a?b=1 accept', true],
    ['of all generic mode leaves media', { n: 5, scope: 'generic' }, media(VIDEO), false],
    ['of a video covers it', { n: 5, scope: 'video', videoId: VIDEO, block: false }, media(VIDEO, 'r7', 'files'), true],
    ['that blocks a video covers it', { n: 5, scope: 'video', videoId: VIDEO, block: true }, media(VIDEO, 'r7', 'hls'), true],
    ['of a video leaves another', { n: 5, scope: 'video', videoId: VIDEO, block: false }, media(OTHER), false],
    ['of a revision covers it', { n: 5, scope: 'revision', videoId: VIDEO, rev: 'r1' }, media(VIDEO, 'r1'), true],
    ['of a revision leaves another', { n: 5, scope: 'revision', videoId: VIDEO, rev: 'r1' }, media(VIDEO, 'r11'), false],
    [
      'of a video leaves a generic key that holds its path',
      { n: 5, scope: 'video', videoId: VIDEO, block: false },
      `o1 ${media(VIDEO)}`,
      false,
    ],
    ['of a media URL covers it', { n: 5, scope: 'url', key: media(VIDEO) }, media(VIDEO), true],
    ['of a URL covers it', { n: 5, scope: 'url', key: 'o1 /a?b=1' }, 'o1 /a?b=1', true],
    ['of a URL covers its variants', { n: 5, scope: 'url', key: 'o1 /a?b=1' }, 'o1 /a?b=1\naccept: text/html', true],
    ['of a URL leaves another query', { n: 5, scope: 'url', key: 'o1 /a?b=1' }, 'o1 /a?b=11', false],
    ['of a URL leaves the same path at another origin', { n: 5, scope: 'url', key: 'o1 /a' }, 'o2 /a', false],
  ])('%s', (_what, record, key, covered) => {
    const table = tableOf(record)
    expect(table.covers({ key, generation: 4 })).toBe(covered)
    expect(table.covers({ key, generation: 5 })).toBe(false)
    expect(table.generation).toBe(5)
  })

  it('of another thing later leaves an entry that is older than it', () => {
    const table = tableOf({ n: 5, scope: 'video', videoId: VIDEO, block: false }, { n: 9, scope: 'video', videoId: OTHER, block: false })
    expect(table.covers({ key: media(VIDEO), generation: 5 })).toBe(false)
    expect(table.covers({ key: media(VIDEO), generation: 4 })).toBe(true)
  })

  it('that blocks a video goes on to, whatever is purged later', () => {
    const table = tableOf(
      { n: 1, scope: 'video', videoId: VIDEO, block: true },
      { n: 2, scope: 'video', videoId: VIDEO, block: false },
      { n: 3, scope: 'all' },
    )
    expect([table.blocks(VIDEO), table.blocks(OTHER)]).toEqual([true, false])
  })
})

describe('more purges than the table keeps', () => {
  const limits = { records: 500, genericUrls: 100, urlText: 1000, blocks: 200 }

  it('cover too much rather than too little, and never grow it', () => {
    const table = new PurgeTable(limits)
    for (let n = 1; n <= 5000; n++) table.apply({ n, scope: 'revision', videoId: VIDEO, rev: `r${n}` })
    expect(table.size).toBeLessThanOrEqual(limits.records + 1)
    for (const n of [1, 2500, 4600, 5000]) expect(table.covers({ key: media(VIDEO, `r${n}`), generation: n - 1 })).toBe(true)
    expect(table.covers({ key: media(OTHER), generation: 100 })).toBe(true)
    expect(table.covers({ key: media(OTHER), generation: 4900 })).toBe(false)
  })

  it('are bounded by the length of their URLs too', () => {
    const table = new PurgeTable(limits)
    for (let n = 1; n <= 50; n++) table.apply({ n, scope: 'url', key: `o1 /${'x'.repeat(90)}${n}` })
    expect(table.size).toBeLessThan(12)
    expect(table.covers({ key: `o1 /${'x'.repeat(90)}1`, generation: 0 })).toBe(true)
  })

  it('of generic URLs leave media alone, also from a snapshot', () => {
    const table = new PurgeTable(limits)
    for (let n = 1; n <= 5000; n++) table.apply({ n, scope: 'url', key: `o1 /${n}` })
    const copy = new PurgeTable(limits)
    copy.restore(table.snapshot())
    for (const one of [table, copy]) {
      expect(one.covers({ key: media(VIDEO), generation: 0 })).toBe(false)
      expect([1, 2500, 5000].map((n) => one.covers({ key: `o1 /${n} accept`, generation: n - 1 }))).toEqual([true, true, true])
      expect(one.covers({ key: 'o1 /other', generation: 4999 })).toBe(false)
      expect(one.size).toBeLessThanOrEqual(limits.genericUrls + 1)
    }
  })

  it('keep the latest blocks, and purge the videos of those that are forgotten', () => {
    const table = new PurgeTable(limits)
    const id = (n: number) => String(n).padStart(26, '0')
    for (let n = 1; n <= 300; n++) table.apply({ n, scope: 'video', videoId: id(n), block: true })
    expect([table.blocks(id(300)), table.blocks(id(200)), table.blocks(id(1))]).toEqual([true, true, false])
    expect(table.covers({ key: media(id(1)), generation: 0 })).toBe(true)
  })

  it('keep blocks while other purges are forgotten', () => {
    const table = new PurgeTable(limits)
    table.apply({ n: 1, scope: 'video', videoId: VIDEO, block: true })
    for (let n = 2; n <= 5000; n++) table.apply({ n, scope: 'revision', videoId: OTHER, rev: `r${n}` })
    expect(table.blocks(VIDEO)).toBe(true)
  })
})

describe('a purge table, whatever is purged', () => {
  const videoId = fc.constantFrom(VIDEO, OTHER, '01hzy3v8k2m4n6p8q0r2s4t6va')
  const rev = fc.constantFrom('r1', 'r2', 'r12')
  const url = fc.constantFrom('o1 /a', 'o1 /a?b', 'o2 /a', media(VIDEO), media(OTHER, 'r2'))
  const scope = fc.oneof(
    { weight: 1, arbitrary: fc.constant({ scope: 'all' as const }) },
    { weight: 4, arbitrary: fc.record({ scope: fc.constant('video' as const), videoId, block: fc.boolean() }) },
    { weight: 4, arbitrary: fc.record({ scope: fc.constant('revision' as const), videoId, rev }) },
    { weight: 4, arbitrary: fc.record({ scope: fc.constant('url' as const), key: url }) },
    { weight: 1, arbitrary: fc.constant({ scope: 'generic' as const }) },
  )
  const purges = fc.array(scope, { maxLength: 40 }).map((scopes) => scopes.map((one, i): PurgeRecord => ({ n: 10 * (i + 1), ...one })))
  const keys = fc.oneof(
    url,
    fc.tuple(videoId, rev, fc.constantFrom('dash', 'files', 'hls')).map(([id, revision, family]) => media(id, revision, family)),
    url.map((key) => (key.startsWith('/') ? key : `${key} accept: text/html`)),
  )

  /** What the words of the contract say, looked up in the whole history. */
  function coveredBy(records: readonly PurgeRecord[], entry: { key: string; generation: number }): boolean {
    return records.some((record) => {
      if (record.n <= entry.generation) return false
      if (record.scope === 'all') return true
      if (record.scope === 'generic') return !entry.key.startsWith('/')
      if (record.scope === 'url') return entry.key === record.key || entry.key === `${record.key} accept: text/html`
      const [, , id, revision] = entry.key.split('/')
      if (!entry.key.startsWith('/') || id !== record.videoId) return false
      return record.scope === 'video' || revision === record.rev
    })
  }

  it('answers as the whole history would, in any order of arrival, also from its snapshot', () => {
    fc.assert(
      fc.property(purges, fc.array(fc.nat()), keys, fc.nat({ max: 420 }), (records, order, key, generation) => {
        const shuffled = records.map((record, i) => ({ record, at: order[i] ?? i })).sort((a, b) => a.at - b.at)
        const table = tableOf(...shuffled.map(({ record }) => record))
        const copy = new PurgeTable()
        copy.restore(table.snapshot())
        const expected = coveredBy(records, { key, generation })
        for (const one of [tableOf(...records), table, copy]) {
          expect(one.covers({ key, generation })).toBe(expected)
          expect(one.blocks(VIDEO)).toBe(records.some((record) => record.scope === 'video' && record.block && record.videoId === VIDEO))
          expect(one.generation).toBe(records.at(-1)?.n ?? 0)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('never forgets a purge, however little it may keep', () => {
    fc.assert(
      fc.property(purges, keys, fc.nat({ max: 420 }), (records, key, generation) => {
        const table = new PurgeTable({ records: 3, genericUrls: 3, urlText: 12, blocks: 1 })
        for (const record of records) table.apply(record)
        if (coveredBy(records, { key, generation })) expect(table.covers({ key, generation })).toBe(true)
        expect(table.size).toBeLessThanOrEqual(3 + 3 + 1 + 2)
      }),
      { numRuns: 500 },
    )
  })

  const urls = (...texts: string[]) => texts.map((key, i): PurgeRecord => ({ n: 10 * (i + 1), scope: 'url', key }))

  it('forgets nothing in a snapshot that is read while purges go on, with each of them told besides', () => {
    fc.assert(
      fc.property(purges, fc.nat({ max: 20 }), fc.nat({ max: 5 }), keys, fc.nat({ max: 420 }), (records, before, read, key, generation) => {
        const table = new PurgeTable({ records: 3, genericUrls: 2, urlText: 12, blocks: 1 })
        const copy = new PurgeTable()
        for (const record of records.slice(0, before)) table.apply(record)
        const lines = table.snapshot()[Symbol.iterator]()
        const take = () => {
          const { done, value } = lines.next()
          if (!done) copy.restore([value])
          return !done
        }
        for (let i = 0; i < read; i++) take()
        for (const record of records.slice(before)) table.apply(record)
        while (take());
        for (const record of records.slice(before)) copy.apply(record)
        if (coveredBy(records, { key, generation })) expect(copy.covers({ key, generation })).toBe(true)
        expect(copy.generation).toBe(table.generation)
      }),
      { numRuns: 1000, examples: [[urls('o1 /a', 'o2 /a', 'o1 /a?b'), 2, 1, 'o2 /a', 0]] },
    )
  })

  it('makes each line of a snapshot once, however many read it, and anew after a purge', () => {
    const table = tableOf({ n: 1, scope: 'all' }, { n: 2, scope: 'url', key: 'o1 /a' })
    const one = table.snapshot()
    expect(table.snapshot()).toBe(one)
    expect([...one]).toEqual([...one])
    table.apply({ n: 3, scope: 'url', key: 'o1 /b' })
    expect([[...one].length, [...table.snapshot()].length]).toEqual([2, 3])
  })

  it('finds every video that was purged, among any others', () => {
    const id = fc.stringMatching(/^[0-9a-z]{26}$/)
    fc.assert(
      fc.property(fc.uniqueArray(id, { minLength: 1, maxLength: 50 }), id, (purged, other) => {
        const table = tableOf(...purged.map((videoId, i): PurgeRecord => ({ n: i + 1, scope: 'video', videoId, block: false })))
        for (const videoId of purged) expect(table.covers({ key: media(videoId), generation: 0 })).toBe(true)
        expect(table.covers({ key: media(other), generation: 0 })).toBe(purged.includes(other))
      }),
    )
  })

  it('purges everything when a line of a snapshot says nothing', () => {
    fc.assert(
      fc.property(fc.string(), (line) => {
        const table = new PurgeTable()
        table.restore(['{"n":7,"scope":"url","key":"o1 /a"}', line])
        expect(table.covers({ key: 'o2 /b', generation: 7 })).toBe(true)
      }),
    )
  })

  it('keeps to its stated limits', () => {
    expect(PURGE_LIMITS).toEqual({ records: 100_000, genericUrls: 100_000, urlText: 16 << 20, blocks: 1_000_000 })
  })
})
