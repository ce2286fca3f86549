import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from '@millrace/common/testing/until'
import { portInUse } from '@millrace/scripts/stack/stack'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeClip } from '../support/clips.js'
import { SHARED_MEDIA } from '../support/fixture.js'

const MAIN = fileURLToPath(new URL('../../scripts/dist/demo/main.js', import.meta.url))

let folder: string
const demos: ChildProcess[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-demo-test-'))
})
afterEach(async () => {
  for (const demo of demos.splice(0)) demo.kill('SIGKILL')
  await until('the stack to be gone', () => processesOf(folder).length === 0, 20_000)
  await rm(folder, { recursive: true, force: true })
})

interface Demo {
  child: ChildProcess
  output: () => string
  says: (text: string | RegExp) => Promise<void>
  exit: () => Promise<number | null>
}

function demo(...args: string[]): Demo {
  const child = spawn(process.execPath, [MAIN, '--folder', join(folder, 'stack'), '--preset', 'ultrafast', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  demos.push(child)
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  child.stderr.on('data', (chunk) => {
    output += chunk
  })
  const exited = once(child, 'exit')
  return {
    child,
    output: () => output,
    says: async (text) => {
      await until(
        `the demo to say ${text}`,
        () => {
          if (child.exitCode !== null) throw new Error(`it ended: ${output}`)
          return typeof text === 'string' ? output.includes(text) : text.test(output)
        },
        120_000,
      )
    },
    exit: async () => ((await exited) as [number | null])[0],
  }
}

/** Processes that name this test's folder in their command line, our own demo aside. */
function processesOf(path: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((pid) => {
      try {
        return `${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`
      } catch {
        return ''
      }
    })
    .filter((line) => line.includes(path))
}

function portsOf(output: string): number[] {
  return [...new Set([...output.matchAll(/127\.0\.0\.1:(\d+)/g)].map((match) => Number(match[1])))]
}

describe('the demo', () => {
  it('exits 1 and names the step when the source is not a video', async () => {
    const run = demo('--once', '--json', fileURLToPath(import.meta.url))
    expect(await run.exit(), run.output()).toBe(1)
    expect(run.output()).toMatch(/failed at \w+/)
    expect(JSON.parse(run.output().trim().split('\n').at(-1)!)).toMatchObject({
      ok: false,
      step: expect.any(String),
      error: expect.stringContaining('not-media'),
    })
  })

  it('exits 1 and names the file when there is none', async () => {
    const run = demo('--once', join(folder, 'no-such-file.mp4'))
    expect(await run.exit(), run.output()).toBe(1)
    expect(run.output()).toContain('no-such-file.mp4')
    expect(run.output()).toContain('failed at upload')
  })

  it('leaves no process and no port behind after Ctrl-C, and none after kill -9 of itself', async () => {
    const clip = await makeClip(folder, 'clip.mp4', { seconds: 2, size: '160x120' })
    for (const signal of ['SIGINT', 'SIGKILL'] as const) {
      const run = demo(clip)
      await run.says('Press Ctrl-C')
      const ports = portsOf(run.output())
      expect(ports.length).toBeGreaterThanOrEqual(3)
      for (const port of ports) expect(await portInUse(port)).toBe(true)
      expect(processesOf(join(folder, 'stack')).length).toBeGreaterThanOrEqual(7)
      run.child.kill(signal)
      const code = await run.exit()
      if (signal === 'SIGINT') expect(code).toBe(130)
      await until('no process to be left', () => processesOf(join(folder, 'stack')).length === 0, signal === 'SIGINT' ? 500 : 10_000)
      // A killed process loses its name before its sockets.
      for (const port of ports) await until(`port ${port} to be free`, async () => !(await portInUse(port)), 2000)
    }
  })

  it('with --once --json plays its own sample through both edges, DASH as hits, and prints one object', async () => {
    const run = demo('--once', '--json')
    expect(await run.exit(), run.output()).toBe(0)
    const result = JSON.parse(run.output().trim().split('\n').at(-1)!)
    expect(result.ok).toBe(true)
    expect(result.ready_s).toBeGreaterThan(0)
    expect(result.hls.segments).toBeGreaterThan(20)
    expect(result.dash.segments).toBe(result.hls.segments)
    expect(result.edges.map((edge: { id: string }) => edge.id)).toEqual(['e1', 'e2'])
    for (const edge of result.edges) expect(edge.hits).toBeGreaterThanOrEqual(result.dash.segments / 2)
    expect(result.origins).toEqual([
      { id: 'o1', held: 1 },
      { id: 'o2', held: 1 },
    ])
    for (const stage of ['upload', 'fetch', 'probe', 'encode', 'verify', 'publish', 'hls e1', 'dash e2', 'decode e1'])
      expect(result.stages).toHaveProperty([stage])
  })

  const shared = existsSync(SHARED_MEDIA) ? readdirSync(SHARED_MEDIA).filter((name) => name.endsWith('.mp4')) : []
  it.skipIf(shared.length === 0)('plays every real clip of the shared media', async () => {
    const run = demo('--once', '--json', ...shared.map((name) => join(SHARED_MEDIA, name)))
    expect(await run.exit(), run.output()).toBe(0)
    const result = JSON.parse(run.output().trim().split('\n').at(-1)!)
    expect(result.videos.map((video: { title: string }) => video.title)).toHaveLength(shared.length)
  })
})
