import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))

it('docs/architecture.md names every source file of every workspace, and no file that is not there', () => {
  const text = readFileSync(join(root, 'docs/architecture.md'), 'utf8')
  const named = new Set([...text.matchAll(/`([^`]+\.(?:ts|mjs))`/g)].map((match) => basename(match[1]!)))
  const sources = ['common', 'cms', 'transcoder', 'origin', 'edge', 'scripts'].flatMap((workspace) =>
    readdirSync(join(root, workspace, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !/(\.test|\.d)\.ts$|migrations\//.test(name))
      .map((name) => `${workspace}/${name}`),
  )
  expect(sources.filter((name) => !named.has(basename(name)))).toEqual([])
  const present = new Set([...sources.map((name) => basename(name)), ...readdirSync(join(root, 'scripts'))])
  expect([...named].filter((name) => !present.has(name))).toEqual([])
})
