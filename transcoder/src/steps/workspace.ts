import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** The folder of one attempt. `source` is what came in, `out` is what goes to the origins: nothing else is written there. */
export interface Workspace {
  folder: string
  source: string
  out: string
}

const NAME = /^[0-9a-z]{26}-r[1-9][0-9]*$/

/** An attempt's folder, gone when `work` ends, in whatever way. */
export async function withWorkspace<T>(root: string, videoId: string, rev: string, work: (workspace: Workspace) => Promise<T>): Promise<T> {
  const folder = join(root, `${videoId}-${rev}`)
  const workspace = { folder, source: join(folder, 'source'), out: join(folder, 'out') }
  try {
    await mkdir(workspace.out, { recursive: true, mode: 0o700 })
    return await work(workspace)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Removes what a killed process left; touches nothing that isn't named like an attempt. @returns the folders removed. */
export async function sweepWorkspace(root: string): Promise<string[]> {
  const leftovers = (await readdir(root)).filter((name) => NAME.test(name))
  for (const name of leftovers) await rm(join(root, name), { recursive: true, force: true })
  return leftovers
}
