import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { BODY_OFFSET } from '../src/cache/entry-format.js'
import { cacheFiles, segment } from './edge.js'
import { BODY_LENGTH, bytesOf } from './origin.js'
import { MAIN } from './processes.js'
import { twoWorkers } from './two-workers.js'

async function run(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [out, err] = ['', '']
  child.stdout.on('data', (data) => {
    out += data
  })
  child.stderr.on('data', (data) => {
    err += data
  })
  const [code] = await once(child, 'close')
  return { code, out, err }
}

async function flip(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+')
  const byte = Buffer.alloc(1)
  await file.read(byte, 0, 1, at)
  byte[0] = byte[0]! ^ 1
  await file.write(byte, 0, 1, at)
  await file.close()
}

describe('the command', () => {
  const at = twoWorkers()
  const fsck = (...more: string[]) => run('fsck', '--config', at.edge.configFile, ...more)
  const fill = async () => {
    await at.start({ ram: { size: '0B' } })
    for (const number of [1, 2, 3]) expect((await at.edge.get(`/o1${segment(number)}`)).status).toBe(200)
    await at.edge.idle()
  }

  it.each([
    [[]],
    [['fsck']],
    [['check-config']],
    [['nonsense', '--config', '/etc/edge.yaml']],
    [['fsck', 'more', '--config', '/etc/edge.yaml']],
    [['fsck', '--config', '/etc/edge.yaml', '--nonsense']],
    [['--config']],
  ])('millrace-edge %j is answered with its usage and exit 2', async (args) => {
    const { code, out, err } = await run(...args)
    expect([code, out]).toEqual([2, ''])
    expect(err).toContain('usage: millrace-edge')
    expect(err).not.toContain('    at ')
  })

  it('fsck of a config that is none exits 1 and names what is wrong, without a stack', async () => {
    const file = join(at.folder, 'bad.json')
    await writeFile(file, JSON.stringify({ id: 'e1' }))
    const { code, err } = await run('fsck', '--config', file)
    expect(code).toBe(1)
    expect(err).toContain('cache')
    expect(err).not.toContain('    at ')
  })

  it('fsck finds nothing wrong in what an edge leaves: exit 0; with --json it says so in one line', async () => {
    await fill()
    expect(await at.edge.stop()).toEqual([0, null])
    const plain = await fsck()
    expect([plain.code, plain.out.trim().split('\n').at(-1)]).toEqual([0, 'clean'])
    const { code, out } = await fsck('--json')
    expect([code, out.match(/\n/g)?.length, out.at(-1)]).toEqual([0, 1, '\n'])
    expect(JSON.parse(out)).toMatchObject({ clean: true, entries: 3, repaired: 0, inUse: [] })
  })

  it('fsck checks while the edge runs, and says so by exit 3; --repair then does nothing', async () => {
    await fill()
    const { code, out } = await fsck('--json')
    expect(code).toBe(3)
    expect(JSON.parse(out)).toMatchObject({ entries: 3, inUse: [at.edge.cachePath] })
    const repair = await fsck('--repair')
    expect(repair.code).toBe(3)
    expect(repair.err).toContain(at.edge.cachePath)
    expect(repair.err).not.toContain('    at ')
    for (const number of [1, 2, 3]) expect((await at.edge.get(`/o1${segment(number)}`)).headers['x-cache']).toBe('hit')
  })

  it('fsck names what is damaged: exit 1; with --repair it is gone: exit 0; and the edge serves what was whole as hits', async () => {
    await fill()
    expect(await at.edge.stop()).toEqual([0, null])
    const [first, second] = (await cacheFiles(at.edge.cachePath)).entries as [string, string]
    await flip(first, BODY_OFFSET + 1000)
    await truncate(second, (await stat(second)).size - 100)
    const found = await fsck()
    expect([found.code, found.out.trim().split('\n').at(-1)]).toEqual([1, 'damaged'])
    expect(found.out).toContain(`block: ${first}`)
    expect(found.out).toContain(`size: ${second}`)
    expect((await cacheFiles(at.edge.cachePath)).entries).toHaveLength(3)
    const repaired = await fsck('--repair')
    expect([repaired.code, repaired.out.trim().split('\n').at(-1)]).toEqual([0, 'repaired'])
    expect((await cacheFiles(at.edge.cachePath)).entries).toHaveLength(1)
    expect((await fsck()).code).toBe(0)
    await at.edge.start()
    const phases = []
    for (const number of [1, 2, 3]) {
      const { headers, body } = await at.edge.get(`/o1${segment(number)}`)
      expect(body.equals(bytesOf(segment(number), BODY_LENGTH))).toBe(true)
      phases.push(headers['x-cache'])
    }
    expect(phases.sort()).toEqual(['hit', 'miss', 'miss'])
  })

  it('check-config says what is wrong by key, all at once: exit 1; of a good one that it is good: exit 0; nothing is changed', async () => {
    await fill()
    const good = await run('check-config', '--config', at.edge.configFile)
    expect([good.code, good.out]).toEqual([0, `${at.edge.configFile} is a good configuration\n`])
    await at.edge.configure({ workers: 0, negativeTtl: '2 s', surprise: 1 })
    const bad = await run('check-config', '--config', at.edge.configFile)
    expect([bad.code, bad.out]).toEqual([1, ''])
    for (const key of ['workers', 'negativeTtl', 'surprise']) expect(bad.err).toContain(key)
    expect((await run('check-config', '--config', join(at.folder, 'none.yaml'))).code).toBe(1)
    expect((await at.edge.get(`/o1${segment(1)}`)).headers['x-cache']).toBe('hit')
  })
})
