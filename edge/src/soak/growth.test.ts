import { describe, expect, it } from 'vitest'
import { grownIn, hasGrown, type Life } from './growth.js'
import { roleOf, rolesOf } from './roles.js'

const MIB = 2 ** 20

function life(resident: (second: number) => number, files: (second: number) => number = () => 100): Life {
  const samples = Array.from({ length: 100 }, (_, at) => ({ at: at * 1000, resident: resident(at) * MIB, files: files(at) }))
  return { pid: 1, role: 'worker', samples }
}

describe('growth', () => {
  it('of a process that leaks memory is found', () => {
    expect(
      hasGrown(
        grownIn(
          life((at) => 100 + at),
          0,
        )!,
      ),
    ).toBe(true)
  })

  it('of a process that leaks descriptors is found', () => {
    const leaking = life(
      () => 100,
      (at) => 100 + at,
    )
    expect(hasGrown(grownIn(leaking, 0)!)).toBe(true)
  })

  it('is not what a process does in its first tenth, nor one moment in the last', () => {
    const young = life((at) => (at < 10 ? at * 10 : at === 95 ? 1000 : 100))
    expect(hasGrown(grownIn(young, 0)!)).toBe(false)
  })

  it('of a short life is not judged', () => {
    expect(
      grownIn(
        life(() => 1),
        100_000,
      ),
    ).toBeUndefined()
    expect(grownIn({ ...life(() => 1), samples: [] }, 0)).toBeUndefined()
  })
})

it('a process is known by its title; one without a title of its own is the edge', () => {
  expect(roleOf('millrace-edge: worker 2')).toBe('worker')
  expect(roleOf('millrace-edge: keeper')).toBe('keeper')
  expect(roleOf('millrace-edge')).toBe('edge')
  expect(roleOf('node /srv/keeper/edge/dist/main.js --config worker.json')).toBe('edge')
  expect(rolesOf([1, 2], (pid) => (pid === 1 ? 'millrace-edge: keeper' : undefined))).toEqual(new Map([[1, 'keeper']]))
})
