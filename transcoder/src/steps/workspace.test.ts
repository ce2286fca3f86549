import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { sweepWorkspace, withWorkspace } from './workspace.js'

const VIDEO = '0'.repeat(26)
let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'millrace-workspace-'))
})
afterEach(() => rm(root, { recursive: true, force: true }))

test('the folder is gone after a failure', async () => {
  const work = withWorkspace(root, VIDEO, 'r1', async ({ source, out }) => {
    await writeFile(source, 'x')
    await writeFile(join(out, 'y'), 'y')
    throw new Error('broken')
  })
  await expect(work).rejects.toThrow('broken')
  expect(await readdir(root)).toEqual([])
})

test('a sweep removes attempts and nothing else', async () => {
  await mkdir(join(root, `${VIDEO}-r7`, 'out'), { recursive: true })
  await mkdir(join(root, 'photos'))
  expect(await sweepWorkspace(root)).toEqual([`${VIDEO}-r7`])
  expect(await readdir(root)).toEqual(['photos'])
})
