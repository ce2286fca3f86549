import { describe, expect, it } from 'vitest'
import { genericSite } from './generic-site.js'

const VARYING = { 'cache-control': 'max-age=60', vary: 'foo' }
const PLAIN = { 'cache-control': 'max-age=60' }

describe('a resource that varies', () => {
  const site = genericSite()
  const one = () => site.ask({ foo: '1' })
  const two = () => site.ask({ foo: '2' })

  it('is a hit again after an unsafe request', async () => {
    site.serve(() => ({ headers: VARYING }))
    await one()
    await two()
    await site.edge.get('/app/a', {}, 'POST')
    expect([await one(), await two()]).toEqual([
      ['body 4', 'miss'],
      ['body 5', 'miss'],
    ])
    expect([await one(), await two()]).toEqual([
      ['body 4', 'hit'],
      ['body 5', 'hit'],
    ])
  })

  it('is a hit again after one answer that did not vary', async () => {
    site.serve((_, count) => ({ headers: count === 2 ? PLAIN : VARYING }))
    await one()
    await two()
    expect(await one()).toEqual(['body 2', 'hit'])
    site.forward(61_000)
    expect(await one()).toEqual(['body 3', 'miss'])
    expect(await one()).toEqual(['body 3', 'hit'])
    expect(await two()).toEqual(['body 4', 'miss'])
    expect(await two()).toEqual(['body 4', 'hit'])
  })

  it('is a hit again when it varies by something else', async () => {
    site.serve((_, count) => ({ headers: count < 2 ? VARYING : { ...PLAIN, vary: 'bar' } }))
    await one()
    site.forward(61_000)
    expect(await one()).toEqual(['body 2', 'miss'])
    expect(await one()).toEqual(['body 2', 'hit'])
    expect(await two()).toEqual(['body 2', 'hit'])
  })
})
