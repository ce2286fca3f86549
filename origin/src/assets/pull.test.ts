import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { progressBytes, pullArgs } from './pull.js'

describe('pullArgs', () => {
  const source = { rsyncUrl: 'rsync://[::1]:8730', user: 'sibling', timeoutMs: 60_000 }
  const ref = { videoId: '0'.repeat(26), rev: 'r3' }

  it('names one asset of the sibling, with our account', () => {
    const args = pullArgs(source, ref, '', '/staging/x')
    expect(args.slice(args.indexOf('--') + 1)).toEqual([`rsync://sibling@[::1]:8730/assets/${ref.videoId}/r3/`, '/staging/x/'])
    expect(pullArgs(source, ref, 'asset.json', '/s').at(-2)).toBe(`rsync://sibling@[::1]:8730/assets/${ref.videoId}/r3/asset.json`)
  })

  it('never writes in place and never waits for ever', () => {
    const args = pullArgs(source, ref, '', '/s').join(' ')
    expect(args).not.toMatch(/inplace|append|partial-dir|links|archive/)
    expect(args).toContain('--timeout=60')
  })
})

describe('progressBytes', () => {
  it.each([
    ['      1,234,567  45%   10.00MB/s    0:00:01', 1_234_567],
    ['  32768 100%  1.00kB/s 0:00:00 (xfr#1, to-chk=0/2)', 32_768],
    ['sending incremental file list', undefined],
    ['', undefined],
  ])('reads %j', (line, bytes) => expect(progressBytes(line)).toBe(bytes))

  it('gives a count or nothing, whatever the line', () => {
    fc.assert(
      fc.property(fc.string(), (line) => {
        const bytes = progressBytes(line)
        if (bytes !== undefined) expect(Number.isFinite(bytes)).toBe(true)
      }),
    )
  })
})
