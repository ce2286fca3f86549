import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { genericPathsSchema } from './config.js'
import { matchPath, targetProblem } from './match.js'

const paths = ['/', '/app', '/app/deep'].map((prefix) => ({ prefix, mode: 'generic' as const, origin: 'o1' }))

describe('matchPath', () => {
  it('matches whole segments alone', () => {
    expect(matchPath(paths.slice(1), '/apple')).toBeUndefined()
    expect(matchPath(paths.slice(1), '/')).toBeUndefined()
  })

  it.each([
    ['/x', '/'],
    ['/app', '/app'],
    ['/app/', '/app'],
    ['/app/deeper', '/app'],
    ['/app/deep/x', '/app/deep'],
  ])('finds the longest prefix of %s: %s', (path, prefix) => {
    expect(matchPath(paths, path)?.prefix).toBe(prefix)
  })
})

describe('targetProblem', () => {
  it.each([
    '/app/../x',
    '/app/..',
    '/app/%2e%2E/x',
    '/app/.%2e/x',
    '/app/a/../../x',
    '/app//../x',
    '/app/..//app',
    '/app/a%2fb/../..',
    '/app/a%2f../../x',
    '/app/\\..\\x',
    '/app/ü',
    '/app/a b',
    '/app/a#b',
    'http://h/app/a',
    '*',
    '',
  ])('does not let %s through', (path) => {
    expect(targetProblem(path, '', '/app')).toBe('bad-path')
  })

  it.each(['/app', '/app/', '/app/a/../b', '/app/./a', '/app//a', '/app/%20%2F', '/app/..a', '/app/a;b=c|"<>'])(
    'lets %s through',
    (path) => {
      expect(targetProblem(path, 'q=[a]&b=%zz', '/app')).toBeUndefined()
    },
  )

  it('never lets a browser-resolved path leave the prefix', () => {
    const piece = fc.constantFrom('/', '..', '.', '%2e', '%2E.', 'a', '%2f', '//', 'app')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const path = `/app/${pieces.join('')}`
        if (targetProblem(path, '', '/app') === undefined) expect(new URL(`http://h${path}`).pathname).toMatch(/^\/app(\/|$)/)
      }),
      { numRuns: 1000 },
    )
  })
})

describe('genericPathsSchema', () => {
  it.each(['app', '', '/a?b', '/a%20', '/a//b', '/a/../b', '/a\\b'])('refuses the prefix %s', (prefix) => {
    expect(genericPathsSchema.safeParse([{ prefix, mode: 'generic', origin: 'o1' }]).success).toBe(false)
  })

  it('refuses one prefix twice, slash or not', () => {
    const twice = ['/a', '/a/'].map((prefix) => ({ prefix, mode: 'generic', origin: 'o1' }))
    expect(genericPathsSchema.safeParse(twice).success).toBe(false)
  })
})
