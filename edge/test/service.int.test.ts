import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { until } from '@millrace/common/testing/until'
import { request } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sumOf } from '../src/harness/metrics-text.js'
import { cacheFiles, edgeConfig, segment, tempFolder } from './edge.js'
import { BODY_LENGTH, bytesOf, serveInTwo, startOrigin, type TestOrigin } from './origin.js'

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))

interface LogLine {
  msg: string
  [key: string]: unknown
}

describe('the edge as a process', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let child: ChildProcess | undefined
  const lines: LogLine[] = []

  beforeEach(async () => {
    folder = await tempFolder()
    o1 = await startOrigin()
    lines.length = 0
  })
  afterEach(async () => {
    if (child && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    await o1.stop()
    await folder.remove()
  })

  const start = async (overrides: Record<string, unknown> = {}, under: string[] = []) => {
    const file = join(folder.path, 'edge.json')
    await writeFile(file, JSON.stringify(edgeConfig(join(folder.path, 'cache'), [o1], overrides)))
    const [command, ...args] = [...under, process.execPath, MAIN, '--config', file]
    child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    createInterface({ input: child.stdout! }).on('line', (line) => lines.push(JSON.parse(line)))
    const ready = await until('ready', () => lines.find((line) => line.msg === 'ready'))
    const { listen, admin } = ready as unknown as { listen: { port: number }; admin: { port: number } }
    return { url: `http://127.0.0.1:${listen.port}`, admin: `http://127.0.0.1:${admin.port}` }
  }

  it('names every problem of a bad config and exits 1', async () => {
    const file = join(folder.path, 'edge.json')
    await writeFile(
      file,
      JSON.stringify({ ...edgeConfig(folder.path, [o1]), negativeTtl: '2 s', surprise: true, routes: { require: true } }),
    )
    child = spawn(process.execPath, [MAIN, '--config', file], { stdio: ['ignore', 'pipe', 'inherit'] })
    createInterface({ input: child.stdout! }).on('line', (line) => lines.push(JSON.parse(line)))
    const [code] = await once(child, 'exit')
    expect(code).toBe(1)
    const text = lines.map((line) => line.msg).join()
    expect(text).toMatch(/negativeTtl/)
    expect(text).toMatch(/surprise/)
  })

  it('ends running transfers before it exits on SIGTERM, not ready and not listening meanwhile', async () => {
    const { url, admin } = await start()
    const half = serveInTwo(100_000)
    o1.behave(half.behaviour)
    const running = await request(`${url}/o1${segment(1)}`)
    const exited = once(child!, 'exit')
    child!.kill('SIGTERM')
    await until('not ready', async () => {
      const { statusCode, body } = await request(`${admin}/readyz`)
      await body.dump()
      return statusCode === 503
    })
    await until('the listener to be closed', () =>
      request(url).then(
        async ({ body }) => {
          await body.dump()
          return false
        },
        (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED',
      ),
    )
    half.release()
    const body = Buffer.from(await running.body.arrayBuffer())
    expect(body.equals(bytesOf(segment(1), BODY_LENGTH))).toBe(true)
    expect(await exited).toEqual([0, null])
  })

  it('keeps its cache over kill -9', async () => {
    const first = await start()
    await (await request(`${first.url}/o1${segment(1)}`)).body.arrayBuffer()
    await until('the entry', async () => {
      const { body } = await request(`${first.admin}/v1/status`)
      return ((await body.json()) as { cache: { objects: number } }).cache.objects === 1
    })
    const exited = once(child!, 'exit')
    child!.kill('SIGKILL')
    await exited
    lines.length = 0
    const second = await start()
    const { headers, body } = await request(`${second.url}/o1${segment(1)}`)
    expect(headers['x-cache']).toBe('hit')
    expect(Buffer.from(await body.arrayBuffer()).equals(bytesOf(segment(1), BODY_LENGTH))).toBe(true)
  })

  it('breaks no transfer when the disk takes only the beginning of a body, and keeps nothing of it', async () => {
    const { url, admin } = await start({}, ['prlimit', `--fsize=${BODY_LENGTH / 2}`])
    for (const number of [1, 2, 1]) {
      const { statusCode, headers, body } = await request(`${url}/o1${segment(number)}`)
      const whole = Buffer.from(await body.arrayBuffer()).equals(bytesOf(segment(number), BODY_LENGTH))
      expect([statusCode, headers['x-cache'], whole]).toEqual([200, 'miss', true])
    }
    const { body } = await request(`${admin}/metrics`)
    const text = await body.text()
    expect(sumOf(text, 'millrace_edge_cache_faults_total', { name: 'operation', value: 'write' })).toBe(1)
    expect(sumOf(text, 'millrace_edge_fills_total', { name: 'outcome', value: 'not-stored' })).toBe(3)
    expect(await cacheFiles(join(folder.path, 'cache'))).toMatchObject({ entries: [], tmp: [] })
  })

  it('logs requests with their route and never its mac', async () => {
    const { url } = await start({ log: { access: { sample: 1 } } })
    const mac = 'A'.repeat(43)
    // Not dumped: that gives up in the middle, and the line would tell so.
    await (await request(`${url}/o1~v1~1900000000~k1~${mac}${segment(1)}`)).body.arrayBuffer()
    const line = await until('the log line', () => lines.find((entry) => entry.msg === 'request'))
    expect(line).toMatchObject({
      method: 'GET',
      path: `/o1~signed${segment(1)}`,
      status: 200,
      phase: 'miss',
      class: 'segment',
      tier: 'fill',
      cause: 'cold',
      origin: 'o1',
      bytes: BODY_LENGTH,
      client: '127.0.0.1',
    })
    expect(JSON.stringify(lines)).not.toContain(mac)
  })
})
