import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { governing } from './targeted.js'

const governed = (targeted: string) => {
  const { 'cache-control': control, expires } = governing({ 'cdn-cache-control': targeted, 'cache-control': 'own', expires: 'then' })
  return control === 'own' && expires === 'then' ? 'own' : [control, expires]
}

describe('CDN-Cache-Control', () => {
  it.each([
    '',
    ' ',
    ',',
    'max-age=60,',
    'max-age =60',
    'max-age= 60',
    'Max-Age=60',
    'max-age=60, &&&&&',
    'max-age=60 no-store',
    'a="',
    'a="\x7f"',
    'a=(b',
    `a${'b'.repeat(2048)}`,
  ])('that is no dictionary, or an empty one, counts for nothing: %j', (text) => {
    expect(governed(text)).toBe('own')
  })

  it.each([
    ['max-age=60', 'max-age=60'],
    [' max-age=60 ,\tno-store ', 'max-age=60, no-store'],
    ['no-store=?0, public=?1', 'public'],
    ['max-age=60, max-age=0', 'max-age=0'],
    ['max-age=60;a;b="c, d", x=(1 "2";y z), e=:YQ==:', 'max-age=60, x, e'],
    ['none', 'none'],
  ])('stands in the place of Cache-Control and Expires: %j', (text, control) => {
    expect(governed(text)).toEqual([control, undefined])
  })

  it.each(['max-age="60"', 'max-age=a60', 'max-age=?1', 'max-age'])('has no lifetime of another type: %j', (text) => {
    expect(governed(text)).toEqual(['max-age', undefined])
  })

  it('is read in no time, whatever it says', () => {
    const rubbish = fc.array(fc.constantFrom('a', '=', '"', '(', ')', ';', ' ', ',', '1', '.', '\\', ':', '?0'), { maxLength: 2048 })
    fc.assert(
      fc.property(rubbish, (parts) => {
        const started = performance.now()
        governed(parts.join(''))
        expect(performance.now() - started).toBeLessThan(500)
      }),
    )
  })
})
