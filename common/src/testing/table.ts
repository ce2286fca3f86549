/** Rows as aligned columns; numbers to the right. */
export function table(head: string[], rows: (string | number)[][]): string {
  const cells = [head, ...rows.map((row) => row.map(String))]
  const widths = head.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)))
  const numeric = head.map((_, column) => rows.length > 0 && rows.every((row) => /^[\d.,]*( [A-Za-z%]+)?$/.test(String(row[column] ?? ''))))
  const line = (row: string[]) =>
    row
      .map((cell, column) => (numeric[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join('   ')
      .trimEnd()
  return [line(head), widths.map((width) => '─'.repeat(width)).join('───'), ...cells.slice(1).map(line)].join('\n')
}
