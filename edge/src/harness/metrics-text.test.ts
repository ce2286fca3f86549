import { expect, it } from 'vitest'
import { sumOf } from './metrics-text.js'

const TEXT = `# HELP sent_total Bytes.
# TYPE sent_total counter
sent_total{service="edge",tier="ram"} 10
sent_total{service="edge",tier="disk"} 5
sent_total_more 7
objects 3
`

it('sums the samples of one metric, by label where one is given', () => {
  expect(sumOf(TEXT, 'absent')).toBe(0)
  expect(sumOf(TEXT, 'sent_total', { name: 'tier', value: 'tape' })).toBe(0)
  expect(sumOf(TEXT, 'sent_total')).toBe(15)
  expect(sumOf(TEXT, 'sent_total', { name: 'tier', value: 'ram' })).toBe(10)
  expect(sumOf(TEXT, 'objects')).toBe(3)
})
