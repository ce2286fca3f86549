import { MillraceError } from '@millrace/common/errors'
import { expect, it } from 'vitest'
import { checkLength, gather, missingOnRoute, outcomeOfBreak, resourceOf, withContentType } from './response.js'

const VIDEO = '01hzy3v8k2m4n6p8q0r2s4t6v8'

it('takes a 404 as proven only when the whole route says so', () => {
  const attempts = [
    { origin: 'o1', outcome: 'missing' },
    { origin: 'o2', outcome: 'timeout' },
    { origin: 'o3', outcome: 'missing' },
  ] as const
  expect(missingOnRoute(['o1', 'o2'], attempts)).toBeUndefined()
  expect(missingOnRoute(['o1', 'o4'], attempts)).toBeUndefined()
  expect(missingOnRoute([], attempts)).toBeUndefined()
  expect(missingOnRoute(['o1'], attempts)).toEqual(['o1', 'o3'])
})

it('takes no body of another length than was told, nor one that is too large', () => {
  const wrong = expect.objectContaining({ code: 'origin-body-wrong', retryable: true })
  expect(() => checkLength(11, 10, 100)).toThrow(wrong)
  expect(() => checkLength(9, 10, 100, true)).toThrow(wrong)
  expect(() => checkLength(101, undefined, 100)).toThrow(expect.objectContaining({ code: 'too-large' }))
  checkLength(9, 10, 100)
  checkLength(10, 10, 100, true)
  checkLength(100, undefined, 100, true)
})

it.each([[['abc', 'de'], 6] as const, [['abc', 'def', 'g'], 6] as const])('gathers nothing of %j for %i bytes', async (chunks, length) => {
  await expect(gather(length, () => sent(chunks))).rejects.toMatchObject({ code: 'origin-body-wrong' })
})

it('gathers a body, and reads back what has come of it', async () => {
  const back: string[] = []
  const whole = await gather(6, async function* (readBack) {
    yield Buffer.from('abc')
    back.push(Buffer.from(await readBack(1, 3)).toString())
    yield Buffer.from('def')
  })
  expect([whole.toString(), back]).toEqual(['abcdef', ['bc']])
})

it('tells how an origin did whose body broke', () => {
  const wrong = new MillraceError('short', { code: 'origin-body-wrong', source: 'origin', retryable: true })
  const timeout = new MillraceError('late', { code: 'origin-timeout', source: 'origin', retryable: true })
  expect([timeout, wrong, new Error('gone')].map(outcomeOfBreak)).toEqual(['timeout', 'rejected', 'unreachable'])
})

it('knows media by its path, and its type where the origin names none', () => {
  const path = `/dash/${VIDEO}/r1/fragment-1-f2-a1-x3.m4s`
  expect(resourceOf({ mode: 'media', path })).toEqual({ mode: 'media', media: 'segment' })
  expect(withContentType([], { mode: 'media', path })).toEqual([['content-type', 'audio/mp4']])
  expect(withContentType([['content-type', 'a/b']], { mode: 'media', path })).toEqual([['content-type', 'a/b']])
  expect(withContentType([], { mode: 'generic', path, headers: [] })).toEqual([])
  expect(resourceOf({ mode: 'generic', path: '/', headers: [['authorization', 'x']] })).toEqual({ mode: 'generic', authorized: true })
})

async function* sent(chunks: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield Buffer.from(chunk)
}
