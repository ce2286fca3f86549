import type { Bar, BenchResult } from '@millrace/common/testing/bench'
import type { PartResult } from './part.js'

/** What is worth keeping of a run, for a file beside the bench. */
export function resultsPage(result: BenchResult, flags: readonly string[], parts: readonly PartResult[]): string {
  const { machine, versions } = result
  const names = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  return `${[
    '# The edge beside nginx proxy_cache and Varnish',
    [
      `${machine.cores} cores (${machine.cpu}), ${machine.memoryGiB} GiB, Linux ${machine.kernel}; ${names.join(', ')}.`,
      'One worker each where nothing else is said, the server on one core, the client on another; medians of interleaved rounds.',
    ].join('\n'),
    flags.map((flag) => `- ${flag}`).join('\n'),
    markdownTable(BAR_HEAD, result.bars.map(barRow)),
    ...parts.flatMap(({ tables }) => tables.map(({ title, head, rows }) => `## ${title}\n\n${markdownTable(head, rows)}`)),
    parts.flatMap(({ notes }) => notes.map((note) => `- ${note}`)).join('\n'),
    `\`\`\`json\n${JSON.stringify({ ...result, detail: undefined })}\n\`\`\``,
  ]
    .filter((block) => block !== '')
    .join('\n\n')}\n`
}

export const BAR_HEAD = ['bar', 'value', 'must', 'met', 'goal', 'reached', 'why not judged']

export function barRow(bar: Bar): string[] {
  return [bar.name, String(bar.value ?? ''), bar.bound, verdict(bar.ok), bar.goal ?? '', verdict(bar.goalReached), bar.why ?? '']
}

function verdict(ok: boolean | null | undefined): string {
  if (ok === undefined) return ''
  return ok === null ? '?' : ok ? 'yes' : 'NO'
}

function markdownTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
