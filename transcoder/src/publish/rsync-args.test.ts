import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseRsyncProgress, rsyncArgs, rsyncFailure } from './rsync-args.js'

const transfer = {
  rsyncUrl: 'rsync://10.0.0.1:8730',
  user: 'transcoder',
  videoId: '0'.repeat(26),
  rev: 'r1',
  files: ['video-720p.mp4', 'asset.json'],
  connectTimeoutMs: 10_000,
  silenceTimeoutMs: 1500,
  bandwidthLimit: undefined,
  suspicious: false,
}

test('nothing that the daemons refuse, and no secret', () => {
  const line = rsyncArgs(transfer).join(' ')
  expect(line).not.toMatch(/--(inplace|append|delete)/)
})

test('exactly the named files go to the staging folder of the revision', () => {
  const args = rsyncArgs(transfer)
  expect(args.slice(args.indexOf('--') + 1)).toEqual([
    'video-720p.mp4',
    'asset.json',
    'rsync://transcoder@10.0.0.1:8730/staging/00000000000000000000000000/r1/',
  ])
  expect(args).toContain('--timeout=2')
})

test('a limit is in KiB, a suspicion looks into files', () => {
  expect(rsyncArgs({ ...transfer, bandwidthLimit: 10_240, suspicious: true })).toEqual(
    expect.arrayContaining(['--bwlimit=10', '--ignore-times']),
  )
})

test.each([
  ['  1,234,567  45%   12.34MB/s    0:00:01', 1_234_567],
  ['          0   0%    0.00kB/s    0:00:00', 0],
  ['sending incremental file list', undefined],
  ['45%', undefined],
])('%j', (line, expected) => {
  expect(parseRsyncProgress(line)).toBe(expected)
})

test('whatever line comes, progress is a whole number or nothing', () => {
  fc.assert(
    fc.property(fc.string(), (line) => {
      const bytes = parseRsyncProgress(line)
      expect(bytes === undefined || Number.isInteger(bytes)).toBe(true)
    }),
  )
})

test('a refused login is not tried again; a busy daemon and a broken transfer are', () => {
  expect(rsyncFailure(5, '@ERROR: auth failed on module staging')).toEqual({ code: 'rsync-refused', retryable: false })
  expect(rsyncFailure(5, '@ERROR: max connections (32) reached -- try again later')).toEqual({ code: 'origin-busy', retryable: true })
  expect(rsyncFailure(12, '')).toEqual({ code: 'transfer-broken', retryable: true })
  expect(rsyncFailure(undefined, '')).toEqual({ code: 'transfer-broken', retryable: true })
})
