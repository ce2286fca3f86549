import fc from 'fast-check'
import { expect, test } from 'vitest'
import { avcCodecs, bytesOfDump } from './codecs.js'

const DUMP =
  '\n00000000: 0164 000d ffe1 0018 6764 000d acd9 4141  .d......gd....AA\n00000010: 9f9f 01                                  ...\n'

test('what is no AVC configuration is refused', () => {
  for (const bytes of [[], [1, 2, 3], [0, 0x64, 0, 0x0d]])
    expect(() => avcCodecs(bytes)).toThrow(expect.objectContaining({ code: 'bad-output' }))
})

test('profile, constraints and level from ffprobe’s dump', () => {
  expect(bytesOfDump(DUMP)).toHaveLength(19)
  expect(avcCodecs(bytesOfDump(DUMP))).toBe('avc1.64000d')
})

test('whatever the dump, only bytes come out', () => {
  fc.assert(fc.property(fc.string(), (text) => bytesOfDump(text).every((byte) => byte >= 0 && byte <= 255)))
})
