import { describe, expect, it } from 'vitest'
import { acceptedCoding, codedEtag } from './coding.js'

describe('acceptedCoding', () => {
  it.each<[string | undefined, string | undefined]>([
    [undefined, undefined],
    ['', undefined],
    ['identity', undefined],
    ['br;q=0', undefined],
    ['br;q=rubbish', undefined],
    ['gzip;q=0, *;q=0', undefined],
    ['gzip', 'gzip'],
    ['gzip, deflate, br', 'br'],
    ['GZIP;q=0.8', 'gzip'],
    ['br;q=0.1, gzip', 'gzip'],
    ['*', 'br'],
    ['br;q=0, *', 'gzip'],
  ])('of %j is %j', (header, coding) => {
    expect(acceptedCoding(header)).toBe(coding)
  })
})

it('gives a coded body an entity tag of its own', () => {
  expect(codedEtag('"abc"', 'br')).toBe('"abc-br"')
  expect(codedEtag('W/"abc"', 'gzip')).toBe('W/"abc-gzip"')
})
