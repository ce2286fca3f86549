import { DAMAGES, type FsckReport, isClean } from './fsck.js'

/** For people, some lines without a colour. */
export function formatReport(report: FsckReport): string {
  const rows: [string, number | string][] = [
    ['whole entries', report.entries],
    ['bytes', report.bytes],
    ...DAMAGES.map((damage): [string, number] => [EXPLAINED[damage], report.damaged[damage]]),
    ['damaged bytes', report.damagedBytes],
    ['deleted', report.repaired],
  ]
  const width = Math.max(...rows.map(([name]) => name.length))
  const lines = rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`)
  for (const { path, damage } of report.listed) lines.push(`${damage}: ${path}`)
  for (const path of report.inUse) lines.push(`in use by a running edge: ${path}`)
  lines.push(isClean(report) ? 'clean' : report.repaired > 0 ? 'repaired' : 'damaged')
  return `${lines.join('\n')}\n`
}

/** One line. */
export function formatReportJson(report: FsckReport): string {
  return `${JSON.stringify({ clean: isClean(report), ...report })}\n`
}

const EXPLAINED: Record<(typeof DAMAGES)[number], string> = {
  header: 'bad header',
  size: 'wrong size',
  table: 'bad checksum table',
  block: 'bad block',
  name: 'entry of another key',
  misplaced: 'on the wrong disk',
  unreadable: 'unreadable',
  tmp: 'unfinished writes',
  stray: 'foreign files',
}
