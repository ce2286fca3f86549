import { isIP } from 'node:net'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { clientAddresses, type ForwardedBy, parseCidr } from './client-address.js'

const PROXY = '10.0.0.1'
const of = (forwarded: ForwardedBy) => clientAddresses({ trustedPeers: ['10.0.0.0/8', '2001:db8:ff::/48'], forwarded })

describe('X-Forwarded-For', () => {
  const { of: client, field } = of('x-forwarded-for')

  it('is not believed of a peer that is not trusted', () => {
    expect(client('203.0.113.9', '', '198.51.100.1')).toBe('203.0.113.9')
    expect(client('11.0.0.1', '', '198.51.100.1')).toBe('11.0.0.1')
  })

  it.each([
    ['a malformed last element', '198.51.100.1, bogus', PROXY],
    ['a malformed element behind a trusted hop', 'bogus, 10.0.0.7', '10.0.0.7'],
    ['a host name', 'example.org', PROXY],
    ['a port that is none', '198.51.100.1:123456', PROXY],
    ['an unfinished bracket', '[2001:db8::1', PROXY],
    ['IPv4 in brackets', '[198.51.100.1]', PROXY],
    ['nothing', '', PROXY],
    ['commas alone', ', ,', PROXY],
  ])('falls back to the hop that wrote %s', (_what, value, expected) => {
    expect(client(PROXY, '', value)).toBe(expected)
  })

  it.each([
    ['198.51.100.1', '198.51.100.1'],
    ['6.6.6.6, 198.51.100.1', '198.51.100.1'],
    ['"}{, 198.51.100.1', '198.51.100.1'],
    ['6.6.6.6, 198.51.100.1, 10.9.9.9', '198.51.100.1'],
    ['198.51.100.1:4711 ,\t10.9.9.9', '198.51.100.1'],
    ['198.51.100.1,,10.9.9.9,', '198.51.100.1'],
    ['2001:DB8:0::7', '2001:db8::7'],
    ['[2001:db8::7]:443', '2001:db8::7'],
    ['::ffff:198.51.100.1', '198.51.100.1'],
    ['10.1.1.1, 10.2.2.2', '10.1.1.1'],
  ])('finds the last address of %s that is not of a trusted hop', (value, expected) => {
    expect(client(PROXY, '', value)).toBe(expected)
    expect(field).toBe('x-forwarded-for')
  })

  it('sees a trusted IPv4 peer on a dual-stack listener, and a trusted IPv6 one', () => {
    expect(client('0000:0000:0000:0000:0000:ffff:0a00:0001', '', '198.51.100.1')).toBe('198.51.100.1')
    expect(client('2001:0db8:00ff:0000:0000:0000:0000:0001', '', '198.51.100.1')).toBe('198.51.100.1')
  })

  it('looks at no more than sixteen hops', () => {
    expect(client(PROXY, '', `198.51.100.1, ${Array.from({ length: 40 }, (_, index) => `10.0.1.${index}`).join(', ')}`)).toBe('10.0.1.24')
  })
})

describe('Forwarded', () => {
  const { of: client } = of('forwarded')

  it.each([
    ['an obfuscated identifier', 'for=_hidden'],
    ['an obfuscated identifier with a port', 'for="_gazonk:47011"'],
    ['unknown', 'for=unknown'],
    ['no for parameter', 'by=203.0.113.43;proto=https'],
    ['two for parameters', 'for=198.51.100.1;for=198.51.100.2'],
    ['an unquoted port', 'for=198.51.100.1:80'],
    ['unquoted IPv6', 'for=[2001:db8::1]'],
    ['IPv6 without brackets', 'for="2001:db8::1"'],
    ['a space around the equals sign', 'for = 198.51.100.1'],
    ['an unfinished quote', 'for="198.51.100.1'],
    ['something behind the quote', 'for="198.51.100.1"x'],
    ['an address with a zone', 'for="[fe80::1%eth0]"'],
    ['a bare address', '198.51.100.1'],
  ])('falls back to the hop that wrote %s', (_what, value) => {
    expect(client(PROXY, '', value)).toBe(PROXY)
    expect(client(PROXY, '', `for=6.6.6.6, ${value}`)).toBe(PROXY)
  })

  it.each([
    ['for=198.51.100.1', '198.51.100.1'],
    ['For="198.51.100.1:4711"', '198.51.100.1'],
    ['for="[2001:db8:cafe::17]:4711"', '2001:db8:cafe::17'],
    ['for="[2001:db8:cafe::17]:_port"', '2001:db8:cafe::17'],
    ['for=198.51.100.1;proto=http;by=203.0.113.43', '198.51.100.1'],
    ['proto=http;;for=198.51.100.1;', '198.51.100.1'],
    ['for="198.51.\\100.1"', '198.51.100.1'],
    ['for=6.6.6.6, for=198.51.100.1;by="a,b", for=10.2.2.2', '198.51.100.1'],
    ['for="6.6.6.6, for=198.51.100.1', '198.51.100.1'],
    ['for=\\", for=198.51.100.1', '198.51.100.1'],
  ])('finds the last address of %s that is not of a trusted hop', (value, expected) => {
    expect(client(PROXY, '', value)).toBe(expected)
  })

  it('whatever a client writes, the element of a trusted hop behind it counts', () => {
    const written = fc.oneof(
      fc.string(),
      fc.array(fc.constantFrom('for=', '"', '\\', ',', ';', '1.2.3.4', '=', ' ', '[', '::')).map((parts) => parts.join('')),
    )
    fc.assert(
      fc.property(written, (text) => {
        expect(client(PROXY, '', `${text}, for=198.51.100.1;proto=https`)).toBe('198.51.100.1')
      }),
    )
    const other = of('x-forwarded-for').of
    fc.assert(
      fc.property(written, (text) => {
        expect(other(PROXY, '', `${text}, 198.51.100.1`)).toBe('198.51.100.1')
      }),
    )
  })

  it('answers any field with an address', () => {
    const value = fc
      .array(fc.constantFrom('for=', 'by=x', '"', '\\', ',', ';', '10.2.3.4', '1.2.3.4', '[::1]', ':80', '_x', ' '))
      .map((parts) => parts.join(''))
    fc.assert(
      fc.property(value, (text) => {
        expect(isIP(client(PROXY, '', text))).toBeGreaterThan(0)
      }),
    )
  })
})

describe('PROXY v2', () => {
  const { of: client, field } = of('proxy-v2')

  it('is not believed of a peer that is not trusted', () => {
    expect(client('203.0.113.9', '198.51.100.1')).toBe('203.0.113.9')
  })

  it('is the peer itself where the head names nobody', () => {
    expect(client(PROXY, '')).toBe(PROXY)
    expect(field).toBeUndefined()
  })

  it('is the address that a trusted peer named', () => {
    expect(client(PROXY, '198.51.100.1')).toBe('198.51.100.1')
    expect(client(PROXY, '2001:0db8:0000:0001:0000:0000:0000:0001')).toBe('2001:db8:0:1::1')
  })
})

it('believes nobody when it is not configured', () => {
  const { of: client, field } = of('none')
  expect(client(PROXY, '198.51.100.1', '198.51.100.1')).toBe(PROXY)
  expect(client('0000:0000:0000:0000:0000:0000:0000:0001')).toBe('::1')
  expect(field).toBeUndefined()
})

it.each(['', '10.0.0.0/33', '10.0.0.0/', '10.0.0/8', '::/129', '::ffff:10.0.0.0/104', 'example.org', '10.0.0.1/-1'])(
  'takes %j for no range',
  (text) => {
    expect(parseCidr(text)).toBeUndefined()
  },
)

it('takes one address for a range of one', () => {
  expect(parseCidr('10.0.0.1')).toEqual({ address: '10.0.0.1', prefix: 32, family: 'ipv4' })
  expect(parseCidr('::1')).toEqual({ address: '::1', prefix: 128, family: 'ipv6' })
})
