import type { Config } from '../config.js'
import { fsck, isClean } from './fsck.js'
import { formatReport, formatReportJson } from './fsck-report.js'

/** `millrace-edge fsck`. @returns the exit code: 0 clean or repaired, 1 damaged, 3 when a running edge has a disk */
export async function fsckCommand(config: Pick<Config, 'cache'>, options: { repair: boolean; json: boolean }): Promise<number> {
  const report = await fsck(config.cache.disks, {
    repair: options.repair,
    onProgress: ({ entries, bytes }) => process.stderr.write(`${entries} entries, ${(bytes / 2 ** 30).toFixed(1)} GiB checked\n`),
  })
  process.stdout.write(options.json ? formatReportJson(report) : formatReport(report))
  if (report.inUse.length > 0) return 3
  return isClean(report) || options.repair ? 0 : 1
}
