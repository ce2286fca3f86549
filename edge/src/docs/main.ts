import { writeFileSync } from 'node:fs'
import { metricsPage } from './metrics.js'
import { settingsPage } from './settings.js'

// `npm run docs`: writes the pages that are made from the edge's own declarations.
const page = (name: string) => new URL(`../../../docs/${name}`, import.meta.url)
writeFileSync(page('edge-settings.md'), settingsPage())
writeFileSync(page('metrics-edge.md'), await metricsPage())
