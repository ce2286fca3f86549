import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { carryOut } from '../src/purge/carry-out.js'
import { LOG_NAME, PurgeLog } from '../src/purge/log.js'
import { formatLine, parseLog } from '../src/purge/log-file.js'
import type { PurgeScope } from '../src/purge/record.js'
import { PurgeTable } from '../src/purge/table.js'

const VIDEO = '01hzy3v8k2m4n6p8q0r2s4t6v8'
const key = (rev: number) => `/dash/${VIDEO}/r${rev}/init-f1-v1-x3.mp4`
const revision = (rev: number): PurgeScope => ({ scope: 'revision', videoId: VIDEO, rev: `r${rev}` })

describe('the purge log', () => {
  let folder: string
  let disks: string[]
  let opened: PurgeLog[]
  let faults: string[]
  let clock: number
  let out: Set<string>
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-edge-'))
    disks = ['a', 'b'].map((name) => join(folder, name))
    for (const disk of disks) await mkdir(disk)
    opened = []
    faults = []
    clock = 1_000_000
    out = new Set()
  })
  afterEach(async () => {
    for (const log of opened) await log.close()
    await rm(folder, { recursive: true })
  })

  const open = async (paths = disks) => {
    const table = new PurgeTable()
    const { log, startedOver } = await PurgeLog.open({
      disks: paths,
      table,
      now: () => clock,
      isOut: (disk) => out.has(disk),
      onFault: (disk) => faults.push(disk),
    })
    opened.push(log)
    return { log, table, startedOver }
  }
  const file = (disk: number) => join(disks[disk]!, LOG_NAME)
  const numbers = async (disk: number) => parseLog(await readFile(file(disk), 'utf8')).records.map(({ n }) => n)

  it('that is lost counts everything as purged: what was withdrawn does not come back', async () => {
    const first = await open()
    const { record } = await first.log.add(revision(1))
    clock += 5000
    for (const disk of disks) await rm(join(disk, LOG_NAME))
    const { table, startedOver } = await open()
    expect(startedOver).toBe('new')
    expect(table.covers({ key: key(1), generation: record.n - 1 })).toBe(true)
    expect(table.covers({ key: key(2), generation: record.n })).toBe(true)
    expect(table.covers({ key: key(2), generation: table.generation })).toBe(false)
  })

  it('that is damaged on every disk counts everything as purged', async () => {
    const first = await open()
    const { record } = await first.log.add(revision(1))
    await first.log.add(revision(2))
    for (const disk of [0, 1]) {
      const text = await readFile(file(disk), 'utf8')
      await writeFile(file(disk), text.replace('"rev":"r1"', '"rev":"r3"'))
    }
    const { table, startedOver } = await open()
    expect(startedOver).toBe('damaged')
    expect(table.covers({ key: key(1), generation: record.n - 1 })).toBe(true)
    expect((await open()).startedOver).toBeUndefined()
  })

  it('that is damaged on one disk is read from the other, and made whole', async () => {
    const first = await open()
    const { record } = await first.log.add(revision(1))
    await writeFile(file(0), 'no log\n')
    const { table, startedOver } = await open()
    expect(startedOver).toBeUndefined()
    expect(table.covers({ key: key(1), generation: record.n - 1 })).toBe(true)
    expect(table.covers({ key: key(2), generation: record.n - 1 })).toBe(false)
    expect(await numbers(0)).toEqual(await numbers(1))
  })

  it('forgets an append that a crash cut off, and goes on behind what was whole', async () => {
    const first = await open()
    const { record } = await first.log.add(revision(1))
    const torn = formatLine({ n: record.n + 1, scope: 'all' })
    for (const [disk, cut] of [torn.length - 1, 4].entries()) await appendFile(file(disk), torn.slice(0, cut))
    const second = await open()
    expect([second.startedOver, second.table.generation]).toEqual([undefined, record.n])
    await second.log.add(revision(2))
    const third = await open()
    expect(third.startedOver).toBeUndefined()
    expect(third.table.covers({ key: key(2), generation: record.n })).toBe(true)
  })

  it('answers that a purge is not saved when no disk takes it, and holds it all the same', async () => {
    const { log, table } = await open()
    for (const disk of disks) await rm(disk, { recursive: true })
    out = new Set([disks[0]!])
    const told: number[] = []
    const tell = async ({ n }: { n: number }) => told.push(n)
    const before = table.generation
    // Else its descriptors would still take it.
    await log.close()
    await expect(carryOut(revision(1), { log, tell })).rejects.toMatchObject({ code: 'purge-not-saved', status: 507 })
    expect(faults).toEqual([disks[1]])
    expect(told.length).toBe(1)
    expect(table.covers({ key: key(1), generation: before })).toBe(true)
  })

  it('goes on with the disks that are left, and brings one that is back up to date', async () => {
    const { log } = await open()
    out.add(disks[1]!)
    const missed = await log.add(revision(1))
    expect(missed.saved).toBe(true)
    expect(await numbers(1)).not.toContain(missed.record.n)
    out.clear()
    await log.catchUp()
    expect(await numbers(1)).toEqual(await numbers(0))
    out.add(disks[0]!)
    await log.add(revision(2))
    out.clear()
    await log.add(revision(3))
    expect(await numbers(0)).toEqual(await numbers(1))
    expect(faults).toEqual([])
  })

  it('gives a replaced disk its copy, and goes on above every number seen anywhere', async () => {
    const first = await open()
    const { record } = await first.log.add(revision(1))
    await rm(file(0))
    clock = 5
    const { log, table, startedOver } = await open()
    expect(startedOver).toBeUndefined()
    expect(await numbers(0)).toEqual(await numbers(1))
    expect(table.covers({ key: key(1), generation: record.n - 1 })).toBe(true)
    expect((await log.add(revision(2))).record.n).toBe(record.n + 1)
  })

  it('is on the disk when a purge is answered, in the order of its numbers', async () => {
    const { log } = await open()
    const added = await Promise.all(Array.from({ length: 50 }, (_, i) => log.add(revision(i + 1))))
    const ns = added.map(({ record }) => record.n)
    expect(ns).toEqual([...new Set(ns)].sort((a, b) => a - b))
    for (const disk of [0, 1]) expect((await numbers(disk)).slice(1)).toEqual(ns)
  })

  it('is compacted when most of it is no longer needed, and leaves no other file', async () => {
    const { log, table } = await open()
    for (let i = 0; i < 1300; i++) await log.add(revision(1 + (i % 3)))
    expect((await numbers(0)).length).toBeLessThan(400)
    expect(await readdir(disks[0]!)).toEqual([LOG_NAME])
    const again = await open()
    expect(again.startedOver).toBeUndefined()
    expect([...again.table.snapshot()]).toEqual([...table.snapshot()])
  })

  it('read back says what was purged, wherever a crash cuts one copy', async () => {
    const { log, table } = await open([disks[0]!])
    for (let i = 1; i <= 4; i++) await log.add(revision(i))
    const whole = await readFile(file(0))
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: whole.length }), async (length) => {
        await writeFile(file(0), whole.subarray(0, length))
        await writeFile(file(1), whole)
        const { log: again, table: read } = await open()
        await again.close()
        expect([...read.snapshot()]).toEqual([...table.snapshot()])
        expect(await readFile(file(0))).toEqual(whole)
      }),
      { numRuns: 60 },
    )
  })
})
