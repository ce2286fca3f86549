import { describe, expect, it } from 'vitest'
import { errorBodySchema, fromErrorBody, MillraceError, toErrorBody, toProblem } from './errors.js'

describe('an error', () => {
  it('that is not ours tells a client nothing, and a log everything', () => {
    const error = Object.assign(new Error('open /secret/place'), { code: 'ENOENT' })
    expect(JSON.stringify(toProblem(error))).not.toContain('/secret/place')
    expect(toErrorBody(error)).toEqual({ code: 'enoent', source: 'internal', retryable: true, message: 'open /secret/place' })
  })

  it('crosses the wire and comes back the same', () => {
    const error = new MillraceError('no space', { code: 'insufficient-storage', source: 'disk', retryable: true, detail: 'df' })
    const back = fromErrorBody(errorBodySchema.parse(JSON.parse(JSON.stringify(toErrorBody(error)))))
    expect(back).toMatchObject({
      message: 'no space',
      code: 'insufficient-storage',
      source: 'disk',
      retryable: true,
      detail: 'df',
      status: 507,
    })
  })

  it('keeps the end of a long detail, where a program says what it died of', () => {
    const error = new MillraceError('x', { code: 'c', source: 'encoder', retryable: false, detail: `${'a'.repeat(20_000)}END` })
    expect(toErrorBody(error).detail).toHaveLength(16_000)
    expect(toErrorBody(error).detail).toMatch(/END$/)
  })

  it('is a problem document with its code and status', () => {
    const error = new MillraceError('no such video', { code: 'unknown-video', source: 'client', retryable: false, status: 404 })
    expect(toProblem(error)).toEqual({
      status: 404,
      body: { type: 'about:blank', title: 'no such video', status: 404, code: 'unknown-video', source: 'client', retryable: false },
    })
  })
})
