import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { Disks } from './disks.js'

const hashes = Array.from({ length: 20_000 }, (_, number) => createHash('sha256').update(String(number)).digest('hex').slice(0, 32))
const three = [
  { path: '/a', size: 100 },
  { path: '/b', size: 100 },
  { path: '/c', size: 200 },
]
const place = (disks: Disks) => hashes.map((hash) => disks.number(hash))

describe('disks', () => {
  it('have no place for an entry when all are out', () => {
    const disks = new Disks(three)
    disks.setOut(['/a', '/b', '/c'])
    expect(disks.path(hashes[0]!)).toBeUndefined()
  })

  it('lose one without moving an entry of the others, and have it back at its place', () => {
    const disks = new Disks(three)
    const before = place(disks)
    disks.setOut(['/b'])
    const without = place(disks)
    for (const [index, disk] of before.entries()) {
      if (disk === 1) expect(without[index]).not.toBe(1)
      else expect(without[index]).toBe(disk)
    }
    disks.setOut([])
    expect(place(disks)).toEqual(before)
  })

  it('share what an absent one had by their weights', () => {
    const disks = new Disks(three)
    const before = place(disks)
    disks.setOut(['/b'])
    const moved = place(disks).filter((_disk, index) => before[index] === 1)
    expect(moved.filter((disk) => disk === 2).length / moved.length).toBeCloseTo(2 / 3, 1)
  })

  it('share entries by size', () => {
    const counts = [0, 0, 0]
    for (const disk of place(new Disks(three))) counts[disk!]!++
    expect(counts.map((count) => count / hashes.length)).toEqual([expect.closeTo(0.25, 1), expect.closeTo(0.25, 1), expect.closeTo(0.5, 1)])
  })

  it('agree in every process, by path and not by order', () => {
    const [one, other] = [new Disks(three), new Disks([...three].reverse())]
    for (const hash of hashes.slice(0, 500)) expect(other.path(hash)).toBe(one.path(hash))
    expect(new Disks([{ path: '/a', size: 1 }]).path(hashes[0]!)).toBe(`/a/v2/${hashes[0]!.slice(0, 2)}/${hashes[0]}`)
  })
})
