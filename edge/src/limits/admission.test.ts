import { toProblem } from '@millrace/common/errors'
import { expect, it } from 'vitest'
import { Admission } from './admission.js'
import { edgeBusy, rateLimited } from './refusals.js'

it('lets nobody in beyond the limit until somebody has left', () => {
  const admission = new Admission(2)
  expect([admission.enter(), admission.enter(), admission.enter()]).toEqual([true, true, false])
  expect(admission.running).toBe(2)
  admission.leave()
  expect([admission.enter(), admission.enter()]).toEqual([true, false])
})

it('cuts nobody off when the limit sinks', () => {
  const admission = new Admission(3)
  for (let count = 0; count < 3; count++) admission.enter()
  admission.configure(2)
  admission.leave()
  expect(admission.enter()).toBe(false)
  admission.leave()
  expect(admission.enter()).toBe(true)
})

it('tells clients that they, or the edge, ask too much, and that it will pass', () => {
  expect(toProblem(rateLimited())).toMatchObject({ status: 429, body: { code: 'rate-limited', source: 'client', retryable: true } })
  expect(toProblem(edgeBusy())).toMatchObject({ status: 503, body: { code: 'edge-busy', retryable: true } })
})
