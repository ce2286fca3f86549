import { request } from 'undici'
import { expect, it } from 'vitest'
import { cacheFiles, segment, startTestEdge, tempFolder } from './edge.js'
import { breakAfter, bytesOf, serveBytes, startOrigin } from './origin.js'

const SECONDS = 5
const BUDGET = 2 << 20
const lengthOf = (path: string) => 1000 + ((path.length * 7919 + Number(/-(\d+)-/.exec(path)?.[1]) * 104_729) % 400_000)

it('serves only right bytes for five seconds of random requests, ranges, aborts and breaking origins over a cache too small', async () => {
  const folder = await tempFolder()
  const o1 = await startOrigin()
  const o2 = await startOrigin(serveBytes(lengthOf))
  o1.behave((incoming, response) => {
    const length = lengthOf(incoming.url ?? '')
    if (Math.random() < 0.1) breakAfter(Math.floor(Math.random() * length), length)(incoming, response)
    else serveBytes(length)(incoming, response)
  })
  const edge = await startTestEdge(folder.path, [o1, o2], {
    cache: { path: folder.path, size: '2MiB', maxObject: '1MiB' },
    health: { failures: 1000, probe: false },
  })
  const seen: Record<string, number> = {}
  const end = Date.now() + SECONDS * 1000

  const client = async () => {
    while (Date.now() < end) {
      const path = segment(1 + Math.floor(40 * Math.random() ** 2))
      const whole = bytesOf(path, lengthOf(path))
      const start = Math.floor(Math.random() * whole.length)
      const range = Math.random() < 0.3 ? `bytes=${start}-${start + 5000}` : undefined
      const abort = new AbortController()
      if (Math.random() < 0.1) setTimeout(() => abort.abort(), Math.random() * 10)
      try {
        const answer = await request(`${edge.url}/o1.o2${path}`, { signal: abort.signal, headers: range ? { range } : {} })
        const body = Buffer.from(await answer.body.arrayBuffer())
        const expected = answer.statusCode === 206 ? whole.subarray(start, start + 5001) : whole
        const result = `${answer.statusCode} ${answer.headers['x-cache']}`
        seen[result] = (seen[result] ?? 0) + 1
        if (!body.equals(expected))
          throw new RangeError(`wrong bytes of ${path} (${result}, ${range}): ${body.length} of ${expected.length}`)
      } catch (error) {
        // Broken and aborted transfers are part of it; wrong bytes are not.
        if (error instanceof RangeError) throw error
        seen.broken = (seen.broken ?? 0) + 1
      }
    }
  }
  try {
    await Promise.all(Array.from({ length: 16 }, client))
    await edge.idle()
    const files = await cacheFiles(folder.path)
    expect(files.tmp).toEqual([])
    expect(files.diskBytes).toBeLessThanOrEqual(BUDGET)
    const status = JSON.parse((await edge.admin('/v1/status')).text)
    expect(status.cache).toMatchObject({ bytes: files.diskBytes, objects: files.entries.length })
    expect(seen['200 hit']).toBeGreaterThan(0)
    expect(seen['200 miss']).toBeGreaterThan(0)
    expect(seen['206 hit']).toBeGreaterThan(0)
    expect(Object.keys(seen).filter((result) => result.startsWith('5'))).toEqual([])
  } finally {
    await edge.stop()
    await Promise.all([o1.stop(), o2.stop()])
    await folder.remove()
  }
})
