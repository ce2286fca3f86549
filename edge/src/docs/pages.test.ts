import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '@millrace/common/config/load'
import { settingsOf } from '@millrace/common/config/settings'
import { expect, it } from 'vitest'
import { configSchema } from '../config.js'
import { metricsPage } from './metrics.js'
import { settingsPage } from './settings.js'

const committed = (name: string) => readFileSync(new URL(`../../../docs/${name}`, import.meta.url), 'utf8')

it('docs/edge-settings.md is what the schema says: else run `npm run docs`', () => {
  expect(committed('edge-settings.md')).toBe(settingsPage())
})

it('docs/metrics-edge.md is what the edge declares: else run `npm run docs`', async () => {
  expect(committed('metrics-edge.md')).toBe(await metricsPage())
})

it('every setting of the edge says what it is for', () => {
  expect(settingsOf(configSchema).filter(({ about }) => about === '')).toEqual([])
})

it('the example in docs/edge.md is a good configuration', () => {
  const example = /```yaml\n(id: [\s\S]*?)```/.exec(committed('edge.md'))![1]!
  const folder = mkdtempSync(join(tmpdir(), 'millrace-edge-docs-'))
  try {
    const file = join(folder, 'edge.yaml')
    // Its secrets are in files that are not here.
    writeFileSync(file, example.replaceAll(/file:\S+/g, 'a-secret-for-this-test'))
    expect(loadConfig(configSchema, file)).toMatchObject({ id: 'e1', workers: 4 })
  } finally {
    rmSync(folder, { recursive: true })
  }
})
