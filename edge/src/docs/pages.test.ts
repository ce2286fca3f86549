import { readFileSync } from 'node:fs'
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
