import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { appendFile, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '@millrace/common/testing/until'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { carryOut } from '../src/purge/carry-out.js'
import { PurgeLog } from '../src/purge/log.js'
import { LOG_NAME } from '../src/purge/log-copy.js'
import { formatLine, parseLog } from '../src/purge/log-file.js'
import type { PurgeRecord, PurgeScope } from '../src/purge/record.js'
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
  let told: PurgeRecord[]
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-edge-'))
    disks = ['a', 'b'].map((name) => join(folder, name))
    for (const disk of disks) await mkdir(disk)
    opened = []
    faults = []
    clock = 1_000_000
    out = new Set()
    told = []
  })
  afterEach(async () => {
    for (const log of opened) await log.close()
    await rm(folder, { recursive: true })
  })

  const open = async (paths = disks, copyTimeoutMs = 2000) => {
    const table = new PurgeTable()
    const { log, startedOver } = await PurgeLog.open({
      disks: paths,
      table,
      now: () => clock,
      isOut: (disk) => out.has(disk),
      onFault: (disk) => faults.push(disk),
      onFound: (records) => told.push(...records),
      copyTimeoutMs,
    })
    opened.push(log)
    return { log, table, startedOver }
  }
  const file = (disk: number) => join(disks[disk]!, LOG_NAME)
  const numbers = async (disk: number) => parseLog(await readFile(file(disk), 'utf8')).records.map(({ n }) => n)
  /** Adds a purge, and waits for its end. */
  const purge = async (log: PurgeLog, scope: PurgeScope) => {
    const { record, saved } = log.add(scope)
    return { record, saved: await saved }
  }
  /** Two copies, of which only the first has the latest purge and can't be read at the start after that. */
  const openWithoutFirst = async () => {
    const first = await open()
    out.add(disks[1]!)
    const { record } = await purge(first.log, revision(1))
    await first.log.close()
    out.clear()
    await rename(file(0), `${file(0)}.kept`)
    await mkdir(file(0))
    const second = await open()
    expect([second.startedOver, second.table.covers({ key: key(1), generation: record.n - 1 })]).toEqual([undefined, false])
    const restore = async () => {
      await rm(file(0), { recursive: true })
      await rename(`${file(0)}.kept`, file(0))
    }
    return { ...second, n: record.n, restore }
  }

  it('that is lost counts everything as purged: what was withdrawn does not come back', async () => {
    const first = await open()
    const { record } = await purge(first.log, revision(1))
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
    const { record } = await purge(first.log, revision(1))
    await purge(first.log, revision(2))
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
    const { record } = await purge(first.log, revision(1))
    await writeFile(file(0), 'no log\n')
    const { table, startedOver } = await open()
    expect(startedOver).toBeUndefined()
    expect(table.covers({ key: key(1), generation: record.n - 1 })).toBe(true)
    expect(table.covers({ key: key(2), generation: record.n - 1 })).toBe(false)
    expect(await numbers(0)).toEqual(await numbers(1))
  })

  it('that could not be read at the start is read before it is written: what only it has comes into force, and is told', async () => {
    const { log, table, n, restore } = await openWithoutFirst()
    const later = (await purge(log, revision(2))).record.n
    await restore()
    await log.catchUp()
    expect(table.covers({ key: key(1), generation: n - 1 })).toBe(true)
    expect(told).toContainEqual({ n, ...revision(1) })
    // What was found good up to the latest purge has to be looked at again.
    expect(table.generation).toBeGreaterThan(later)
    expect(Math.max(...told.map((record) => record.n))).toBe(table.generation)
    expect(table.covers({ key: key(3), generation: n - 1 })).toBe(false)
    for (const disk of [0, 1]) expect(await numbers(disk)).toEqual(expect.arrayContaining([n, later]))
  })

  it('that could not be read at the start, and turns out to be damaged, counts everything as purged', async () => {
    const { log, table, restore } = await openWithoutFirst()
    await restore()
    await writeFile(file(0), 'no log\n')
    const before = table.generation
    await log.readmit(disks[0]!)
    expect(table.covers({ key: key(3), generation: before })).toBe(true)
    expect(told).toEqual([{ n: table.generation, scope: 'all' }])
    await log.catchUp()
    expect((await open()).startedOver).toBeUndefined()
  })

  it('is not begun anew where a disk is not mounted: its copy is read when it is', async () => {
    const first = await open()
    out.add(disks[1]!)
    const { record } = await purge(first.log, revision(1))
    await first.log.close()
    await rename(disks[0]!, `${disks[0]}.kept`)
    await mkdir(disks[0]!)
    out = new Set([disks[0]!])
    const { log, table } = await open()
    await purge(log, revision(2))
    expect(await readdir(disks[0]!)).toEqual([])
    await rm(disks[0]!, { recursive: true })
    await rename(`${disks[0]}.kept`, disks[0]!)
    await log.readmit(disks[0]!)
    expect(table.covers({ key: key(1), generation: record.n - 1 })).toBe(true)
    out.clear()
    await log.catchUp()
    expect(await numbers(0)).toEqual(await numbers(1))
  })

  it('is waited for while no disk is in: nothing counts as purged then but what it says', async () => {
    const first = await open([disks[0]!])
    const { record } = await purge(first.log, revision(1))
    await first.log.close()
    clock += 5000
    out = new Set(disks)
    await rename(file(0), `${disks[0]}.kept`)
    const { log, table, startedOver } = await open([disks[0]!])
    expect([startedOver, table.generation]).toEqual([undefined, 0])
    await rename(`${disks[0]}.kept`, file(0))
    await log.readmit(disks[0]!)
    out.clear()
    await log.catchUp()
    expect([table.generation, told.length]).toEqual([record.n, 2])
    expect(table.covers({ key: key(1), generation: record.n - 1 })).toBe(true)
    expect(table.covers({ key: key(2), generation: record.n - 1 })).toBe(false)
  })

  it('that has nothing new is taken over in silence', async () => {
    const first = await open()
    // The former is no longer needed, but still there.
    for (const rev of [1, 1, 2]) await purge(first.log, revision(rev))
    await first.log.close()
    out.add(disks[0]!)
    await rename(file(0), `${disks[0]}.kept`)
    const { log, table } = await open()
    await purge(log, revision(2))
    const { generation } = table
    await rename(`${disks[0]}.kept`, file(0))
    await log.readmit(disks[0]!)
    expect([told, table.generation]).toEqual([[], generation])
    out.clear()
    await log.catchUp()
    expect(await numbers(0)).toEqual(table.records().map(({ n }) => n))
  })

  it('that is not there either when the first disk comes in counts everything as purged', async () => {
    out = new Set(disks)
    const { log, table } = await open()
    await log.readmit(disks[0]!)
    expect(table.covers({ key: key(1), generation: clock - 1 })).toBe(true)
    expect(told).toEqual([{ n: table.generation, scope: 'all' }])
    out = new Set([disks[1]!])
    await log.catchUp()
    expect(await numbers(0)).toEqual([table.generation])
    await log.readmit(disks[1]!)
    expect(told.length).toBe(1)
  })

  it('on a disk that hangs holds up no purge: it is in force at once, saved on the others, and written there in the end', async () => {
    const { log, table } = await open(disks, 1500)
    await rm(file(1))
    // To open it blocks until somebody reads.
    execFileSync('mkfifo', [file(1)])
    const before = table.generation
    const first = log.add(revision(1))
    expect(table.covers({ key: key(1), generation: before })).toBe(true)
    expect(await first.saved).toBe(true)
    expect(faults).toEqual([disks[1]])
    // Nobody waits for it again.
    out = new Set([disks[0]!])
    expect(await log.add(revision(2)).saved).toBe(false)
    out.clear()
    const reader = openSync(file(1), constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      await until('a copy again', async () => {
        await log.catchUp()
        return (await stat(file(1))).isFile()
      })
    } finally {
      closeSync(reader)
    }
    expect(await numbers(1)).toEqual(await numbers(0))
    expect((await numbers(1)).length).toBe(3)
  })

  it('forgets an append that a crash cut off, and goes on behind what was whole', async () => {
    const first = await open()
    const { record } = await purge(first.log, revision(1))
    const torn = formatLine({ n: record.n + 1, scope: 'all' })
    for (const [disk, cut] of [torn.length - 1, 4].entries()) await appendFile(file(disk), torn.slice(0, cut))
    const second = await open()
    expect([second.startedOver, second.table.generation]).toEqual([undefined, record.n])
    await purge(second.log, revision(2))
    const third = await open()
    expect(third.startedOver).toBeUndefined()
    expect(third.table.covers({ key: key(2), generation: record.n })).toBe(true)
  })

  it('answers that a purge is not saved when no disk takes it, and holds it all the same', async () => {
    const { log, table } = await open()
    for (const disk of disks) await rm(disk, { recursive: true })
    out = new Set([disks[0]!])
    const workers: number[] = []
    const tell = async ({ n }: { n: number }) => workers.push(n)
    const before = table.generation
    // Else its descriptors would still take it.
    await log.close()
    await expect(carryOut(revision(1), { log, tell })).rejects.toMatchObject({ code: 'purge-not-saved', status: 507 })
    expect(faults).toEqual([disks[1]])
    expect(workers.length).toBe(1)
    expect(table.covers({ key: key(1), generation: before })).toBe(true)
  })

  it('goes on with the disks that are left, and brings one that is back up to date', async () => {
    const { log } = await open()
    out.add(disks[1]!)
    const missed = await purge(log, revision(1))
    expect(missed.saved).toBe(true)
    expect(await numbers(1)).not.toContain(missed.record.n)
    out.clear()
    await log.catchUp()
    expect(await numbers(1)).toEqual(await numbers(0))
    out.add(disks[0]!)
    await purge(log, revision(2))
    out.clear()
    await purge(log, revision(3))
    expect(await numbers(0)).toEqual(await numbers(1))
    expect(faults).toEqual([])
  })

  it('gives a replaced disk its copy, and goes on above every number seen anywhere', async () => {
    const first = await open()
    const { record } = await purge(first.log, revision(1))
    await rm(file(0))
    clock = 5
    const { log, table, startedOver } = await open()
    expect(startedOver).toBeUndefined()
    expect(await numbers(0)).toEqual(await numbers(1))
    expect(table.covers({ key: key(1), generation: record.n - 1 })).toBe(true)
    expect((await purge(log, revision(2))).record.n).toBe(record.n + 1)
  })

  it('is on the disk when a purge is answered, in the order of its numbers', async () => {
    const { log } = await open()
    const added = await Promise.all(Array.from({ length: 50 }, (_, i) => purge(log, revision(i + 1))))
    const ns = added.map(({ record }) => record.n)
    expect(ns).toEqual([...new Set(ns)].sort((a, b) => a - b))
    for (const disk of [0, 1]) expect((await numbers(disk)).slice(1)).toEqual(ns)
  })

  it('is compacted when most of it is no longer needed, and leaves no other file', async () => {
    const { log, table } = await open()
    for (let i = 0; i < 1300; i++) await purge(log, revision(1 + (i % 3)))
    expect((await numbers(0)).length).toBeLessThan(400)
    expect(await readdir(disks[0]!)).toEqual([LOG_NAME])
    const again = await open()
    expect(again.startedOver).toBeUndefined()
    expect([...again.table.snapshot()]).toEqual([...table.snapshot()])
  })

  it('read back says what was purged, wherever a crash cuts one copy', async () => {
    const { log, table } = await open([disks[0]!])
    for (let i = 1; i <= 4; i++) await purge(log, revision(i))
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
