import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const MAIN = fileURLToPath(new URL('../dist/bench/main.js', import.meta.url))

function bench(args: string[], env: Record<string, string> = {}) {
  return spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8', env: { ...process.env, ...env } })
}

it('the bench, told what it does not know, explains itself and measures nothing', () => {
  const { status, stderr } = bench(['--only', 'speed'])
  expect(status).toBe(2)
  expect(stderr).toContain("no part is called 'speed'")
  expect(stderr).toContain('usage: npm run bench:edge')
})

it('the bench, where its tools are not installed, says of each part that it is not judged, and why; no bar is missed', () => {
  const { status, stdout } = bench(['--only', 'hits,herd'], { PATH: '/nonexistent' })
  expect(status).toBe(0)
  const result = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')
  expect(result).toMatchObject({ bench: 'edge', bars: [{ ok: null }, { ok: null }] })
  for (const bar of result.bars) expect(bar.why).toMatch(/one core|without taskset/)
})
