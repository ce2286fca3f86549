import { describe, expect, it } from 'vitest'
import { OriginHealth } from './health.js'
import { orderOrigins } from './select.js'

const make = (random = () => 0.5) => {
  const clock = { now: 0 }
  return { clock, health: new OriginHealth({ failures: 2, coolDownMs: 100, now: () => clock.now, random }) }
}

describe('OriginHealth', () => {
  it('takes an origin down after failures in a row, not before', () => {
    const { health } = make()
    expect(health.failed('o1', true)).toBe(false)
    expect(health.state('o1')).toBe('up')
    expect(health.succeeded('o1')).toBe(false)
    health.failed('o1', true)
    expect(health.state('o1')).toBe('up')
    expect(health.failed('o1', true)).toBe(true)
    expect([health.state('o1'), health.state('o2')]).toEqual(['down', 'up'])
    expect(health.succeeded('o1')).toBe(true)
  })

  it('lets one request at a time try it after the cool-down', () => {
    const { health, clock } = make()
    health.failed('o1', true)
    health.failed('o1', true)
    clock.now = 100
    expect(health.state('o1')).toBe('trial')
    health.started('o1')
    expect(health.state('o1')).toBe('down')
    health.succeeded('o1')
    expect(health.state('o1')).toBe('up')
  })

  it('goes down again at once when the trial fails, and tries anew when a trial never ends', () => {
    const { health, clock } = make()
    health.failed('o1', true)
    health.failed('o1', true)
    clock.now = 100
    health.started('o1')
    clock.now = 150
    health.failed('o1', true)
    clock.now = 249
    expect(health.state('o1')).toBe('down')
    clock.now = 250
    health.started('o1')
    clock.now = 350
    expect(health.state('o1')).toBe('trial')
  })

  it.each([
    [0, 80],
    [0.999999, 120],
  ])('spreads the trial over a fifth either way (random %d)', (random, due) => {
    const { health, clock } = make(() => random)
    health.failed('o1', true)
    health.failed('o1', true)
    clock.now = due - 1
    expect(health.state('o1')).toBe('down')
    clock.now = due
    expect(health.state('o1')).toBe('trial')
  })
})

describe('probes', () => {
  it('take an origin down after failures in a row, and up with the first success', () => {
    const { health } = make()
    expect([health.probed('o1', false), health.state('o1')]).toEqual([false, 'up'])
    expect([health.probed('o1', false), health.state('o1')]).toEqual([true, 'down'])
    expect([health.probed('o1', true), health.state('o1')]).toEqual([true, 'up'])
    expect([health.probed('o1', false), health.state('o1')]).toEqual([false, 'up'])
  })

  it('do not add up with failing requests', () => {
    const { health } = make()
    health.probed('o1', false)
    health.failed('o1', true)
    expect(health.state('o1')).toBe('up')
  })

  it('do not excuse bad answers: an origin whose data fails stays down while its probe path is fine', () => {
    const { health } = make()
    health.failed('o1', true)
    health.failed('o1', true)
    expect([health.probed('o1', true), health.state('o1')]).toEqual([false, 'down'])
  })

  it('disprove failing connections', () => {
    const { health } = make()
    health.failed('o1', false)
    health.failed('o1', false)
    expect([health.probed('o1', true), health.state('o1')]).toEqual([true, 'up'])
  })

  it('are outdone by a request that goes well', () => {
    const { health } = make()
    health.probed('o1', false)
    health.probed('o1', false)
    expect([health.succeeded('o1'), health.state('o1')]).toEqual([true, 'up'])
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
