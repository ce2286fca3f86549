import { describe, expect, it } from 'vitest'
import { afterProbe, type NodeHealth } from './probe.js'

const unknown: NodeHealth = { state: 'unknown', contrary: 0 }
const states = (answers: (string | undefined)[]) => {
  let health = unknown
  return answers.map((answer) => {
    health = afterProbe(health, answer)
    return health.state
  })
}

describe('the health of a node', () => {
  it('goes by the first answer', () => {
    expect(states(['refused'])).toEqual(['unhealthy'])
    expect(states([undefined])).toEqual(['healthy'])
  })

  it('is not lost by one stray failure', () => {
    expect(states([undefined, 'late', undefined, 'late', undefined])).toEqual(Array(5).fill('healthy'))
  })

  it('is lost by two failures in a row and found by two answers', () => {
    expect(states([undefined, 'late', 'late', undefined, undefined])).toEqual(['healthy', 'healthy', 'unhealthy', 'unhealthy', 'healthy'])
  })

  it('tells the last failure', () => {
    expect(afterProbe(afterProbe(unknown, undefined), 'refused')).toEqual({ state: 'healthy', contrary: 1, detail: 'refused' })
  })
})
