#!/usr/bin/env node
// The whole test run: static checks, then unit, integration and end-to-end tests, one after the other (they share two cores).
// Its last line counts everything: `N passed, N failed, N skipped`.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const bin = (name) => join(root, 'node_modules/.bin', name)
const total = { passed: 0, failed: 0, skipped: 0 }
const skippedTitles = []

const CHECKS = [
  ['types of tests', bin('tsc'), ['-p', 'tsconfig.tests.json']],
  ['style', bin('biome'), ['check', '--error-on-warnings', '.']],
  [
    'tier boundaries',
    bin('depcruise'),
    ['--config', '.dependency-cruiser.cjs', 'common/src', 'cms/src', 'transcoder/src', 'origin/src', 'edge/src', 'scripts/src', 'e2e'],
  ],
]
for (const [name, command, args] of CHECKS) {
  heading(name)
  const ok = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] }).status === 0
  if (ok) total.passed++
  else total.failed++
  console.log(`${ok ? 'passed' : 'FAILED'}: ${name}`)
}

const reports = mkdtempSync(join(tmpdir(), 'millrace-test-'))
for (const project of ['unit', 'int', 'e2e']) {
  heading(`${project} tests`)
  const report = join(reports, `${project}.json`)
  const args = [
    'run',
    '--project',
    project,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...process.argv.slice(2),
  ]
  const result = spawnSync(bin('vitest'), args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  count(report, result.status)
}
rmSync(reports, { recursive: true, force: true })

if (skippedTitles.length > 0) {
  heading('skipped')
  for (const title of skippedTitles) console.log(`  ${title}`)
}
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
process.exit(total.failed === 0 ? 0 : 1)

/** Adds up a vitest report; a run that broke without a failed test (a crash, an unhandled error) counts as one failure. */
function count(file, status) {
  let failedHere = 0
  try {
    for (const suite of JSON.parse(readFileSync(file, 'utf8')).testResults) {
      const failures = suite.assertionResults.filter((test) => test.status === 'failed').length
      failedHere += failures === 0 && suite.status === 'failed' ? 1 : failures
      total.passed += suite.assertionResults.filter((test) => test.status === 'passed').length
      for (const test of suite.assertionResults.filter((entry) => ['pending', 'skipped', 'todo'].includes(entry.status))) {
        total.skipped++
        skippedTitles.push(test.fullName)
      }
    }
  } catch (error) {
    console.error(`no report: ${error.message}`)
  }
  if (status !== 0 && failedHere === 0) failedHere = 1
  total.failed += failedHere
}

function heading(text) {
  console.log(`\n── ${text} ${'─'.repeat(Math.max(2, 70 - text.length))}`)
}
