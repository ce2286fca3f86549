import { describe, expect, it } from 'vitest'
import { OriginHealth } from './health.js'
import { orderOrigins } from './select.js'

describe('OriginHealth', () => {
  const make = () => {
    const clock = { now: 0 }
    return { clock, health: new OriginHealth({ failures: 2, coolDownMs: 100, now: () => clock.now }) }
  }

  it('takes an origin down after failures in a row, not before', () => {
    const { health } = make()
    health.failed('o1')
    expect(health.state('o1')).toBe('up')
    health.succeeded('o1')
    health.failed('o1')
    expect(health.state('o1')).toBe('up')
    health.failed('o1')
    expect([health.state('o1'), health.state('o2')]).toEqual(['down', 'up'])
  })

  it('lets one request at a time try it after the cool-down', () => {
    const { health, clock } = make()
    health.failed('o1')
    health.failed('o1')
    clock.now = 100
    expect(health.state('o1')).toBe('trial')
    health.started('o1')
    expect(health.state('o1')).toBe('down')
    health.succeeded('o1')
    expect(health.state('o1')).toBe('up')
  })

  it('goes down again at once when the trial fails, and tries anew when a trial never ends', () => {
    const { health, clock } = make()
    health.failed('o1')
    health.failed('o1')
    clock.now = 100
    health.started('o1')
    clock.now = 150
    health.failed('o1')
    clock.now = 249
    expect(health.state('o1')).toBe('down')
    clock.now = 250
    health.started('o1')
    clock.now = 350
    expect(health.state('o1')).toBe('trial')
  })
})

describe('orderOrigins', () => {
  it('keeps the order of the route, puts down origins last, skips unknown and repeated ones', () => {
    const states = new Map([
      ['o1', 'down'],
      ['o2', 'up'],
      ['o3', 'trial'],
    ] as const)
    expect(orderOrigins(['o1', 'o9', 'o3', 'o2', 'o3'], (id) => states.get(id as 'o1'))).toEqual(['o3', 'o2', 'o1'])
    expect(orderOrigins(['o9'], (id) => states.get(id as 'o1'))).toEqual([])
  })
})
