/** Sum of a metric's samples whose label has this value; all of them when no label is given. 0 when there are none. */
export function sumOf(text: string, metric: string, label?: { name: string; value: string }): number {
  let sum = 0
  for (const line of text.split('\n')) {
    const match = /^([a-z0-9_]+)(?:\{(.*)\})? (\S+)$/.exec(line)
    if (!match || match[1] !== metric) continue
    if (label && !(match[2] ?? '').split(',').includes(`${label.name}="${label.value}"`)) continue
    sum += Number(match[3])
  }
  return sum
}
