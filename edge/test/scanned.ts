import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '@millrace/common/testing/until'

/** A file that is no entry, in the folder that a scan of the cache comes to last. */
function stranger(cachePath: string): string {
  return join(cachePath, 'v2', 'ff', 'stranger')
}

/** To be put into a cache before its edge starts: the scan behind the scenes removes it. */
export function plantStranger(cachePath: string): void {
  mkdirSync(join(cachePath, 'v2', 'ff'), { recursive: true, mode: 0o700 })
  writeFileSync(stranger(cachePath), '')
}

/** Resolves when the edge knows what it has stored, and so what it has not. */
export async function untilScanned(cachePath: string): Promise<void> {
  await until('the end of the scan', () => !existsSync(stranger(cachePath)))
}
