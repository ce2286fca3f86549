import { isIPv4, isIPv6 } from 'node:net'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalAddress, rateKey, rateKeys } from './ip-address.js'

describe('canonicalAddress', () => {
  it.each([
    '',
    'example.org',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '256.1.1.1',
    ' 1.2.3.4',
    '1.2.3.4:80',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '12345::',
    '::g',
    '1:',
    ':1',
    'fe80::1%eth0',
    '[::1]',
    '::1.2.3',
    '::1.2.3.4:5',
    '1:2:3:4:5:6:7:1.2.3.4',
  ])('takes %j for no address', (text) => {
    expect(canonicalAddress(text)).toBeUndefined()
  })

  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['0000:0000:0000:0000:0000:0000:0000:0001', '::1'],
    ['0000:0000:0000:0000:0000:ffff:7f00:0001', '127.0.0.1'],
    ['::FFFF:203.0.113.7', '203.0.113.7'],
    ['2001:0DB8:0000:0000:0001:0000:0000:0001', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['::', '::'],
    ['1::', '1::'],
    ['::1.2.3.4', '::102:304'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
  ])('spells %s as %s', (text, canonical) => {
    expect(canonicalAddress(text)).toBe(canonical)
  })

  it('spells every IPv6 address as the URL standard does, from any of its forms', () => {
    const group = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }))
    fc.assert(
      fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
        const full = groups.map((value) => value.toString(16).padStart(4, '0')).join(':')
        const short = new URL(`http://[${full}]`).hostname.slice(1, -1)
        const canonical = canonicalAddress(full)!
        if (/^::ffff:[0-9a-f]+:[0-9a-f]+$/.test(short)) expect(isIPv4(canonical)).toBe(true)
        else expect(canonical).toBe(short)
        expect(canonicalAddress(short)).toBe(canonical)
        expect(canonicalAddress(canonical)).toBe(canonical)
      }),
    )
  })

  it('knows addresses as node does, whatever the text', () => {
    const piece = fc.constantFrom(':', '::', '0', '1', 'ffff', 'a1b2', '12345', '1.2.3.4', '.', 'g', '%', ' ', '255')
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(piece, { maxLength: 18 }).map((pieces) => pieces.join('')),
        ),
        (text) => {
          const known = isIPv4(text) || (isIPv6(text) && !text.includes('%'))
          expect(canonicalAddress(text) !== undefined).toBe(known)
        },
      ),
      { numRuns: 2000 },
    )
  })
})

describe('rateKey', () => {
  it.each([
    ['203.0.113.7', '203.0.113.7'],
    ['2001:db8:0:1::1', '2001:db8:0:1::/64'],
    ['2001:db8:0:1:ffff:ffff:ffff:ffff', '2001:db8:0:1::/64'],
    ['2001:db8::', '2001:db8::/64'],
    ['::1', '::/64'],
  ])('counts %s as %s', (address, key) => {
    expect(rateKey(address)).toBe(key)
  })
})

it('remembers keys without mixing them up, however many clients come', () => {
  const keyOf = rateKeys()
  for (let round = 0; round < 2; round++) {
    for (let count = 0; count < 9000; count++) {
      const address = `2001:db8:0:${count.toString(16)}::1`
      expect(keyOf(address)).toBe(rateKey(address))
    }
  }
  expect(keyOf('203.0.113.7')).toBe('203.0.113.7')
})
