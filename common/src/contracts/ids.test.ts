import { describe, expect, it } from 'vitest'
import { newVideoId, nodeIdSchema, revSchema, videoIdSchema } from './ids.js'

describe('ids', () => {
  it('refuses what a path or a route could trip over', () => {
    for (const bad of ['', '..', 'A'.repeat(26), 'a'.repeat(25), `${'a'.repeat(25)}/`])
      expect(videoIdSchema.safeParse(bad).success).toBe(false)
    for (const bad of ['r0', 'r', '1', 'r01', 'r1/', 'R1']) expect(revSchema.safeParse(bad).success).toBe(false)
    for (const bad of ['', 'o.1', 'o~1', 'O1', 'o/1', 'o'.repeat(33)]) expect(nodeIdSchema.safeParse(bad).success).toBe(false)
  })

  it('sort by the time they were made, and differ within one millisecond', () => {
    expect(newVideoId(1_000) < newVideoId(1_001)).toBe(true)
    expect(newVideoId(1_700_000_000_000) < newVideoId(1_800_000_000_000)).toBe(true)
    expect(new Set(Array.from({ length: 1000 }, () => newVideoId(5))).size).toBe(1000)
    expect(videoIdSchema.parse(newVideoId())).toHaveLength(26)
  })

  it('has the ULID of the specification for its time', () => {
    expect(newVideoId(1_469_918_176_385, (n) => new Uint8Array(n)).slice(0, 10)).toBe('01aryz6s41')
  })
})
