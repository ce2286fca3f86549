import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { HeaderField } from '../src/cache/entry-meta.js'
import { type CacheKey, cacheKey } from '../src/cache/key.js'
import { variantKey } from '../src/cache/vary.js'
import type { FillRequest } from '../src/keeper/contract.js'
import { startOrigin, type TestOrigin } from './origin.js'
import { findIn, readAll, startKeeper, type TestKeeper } from './test-keeper.js'

const BASE = cacheKey('o1 /a')

describe('variants in the store', () => {
  let o1: TestOrigin
  let test: TestKeeper
  let served: number
  beforeEach(async () => {
    served = 0
    o1 = await startOrigin((_request, response) => {
      const body = `body ${++served}`
      response.writeHead(200, { vary: 'foo', 'content-length': body.length }).end(body)
    })
    test = await startKeeper([o1])
  })
  afterEach(async () => {
    await test.close()
    await o1.stop()
  })

  /** As a worker asks: by the variant's own key, where a marker leads to it. */
  const get = async (foo: string) => {
    const headers: HeaderField[] = [['foo', foo]]
    const marker = await test.store.open(BASE)
    const key: CacheKey = marker ? variantKey(BASE, marker.meta.id, `foo=${foo}`) : BASE
    const stored = await test.store.open(key)
    if (stored) return `stored ${(await readAll(stored.body)).toString()}`
    const request: FillRequest = { key, order: ['o1'], upstream: { mode: 'generic', path: '/a', headers } }
    const found = await findIn(test.keeper, test, request)
    if (found.kind !== 'body') throw new Error(found.kind)
    const body = (await readAll(found.body)).toString()
    await test.keeper.idle()
    return body
  }

  it('are not found again by a marker that came after theirs was lost', async () => {
    await get('1')
    await get('2')
    expect(await get('1')).toBe('stored body 1')
    await test.store.drop(BASE.hash)
    expect(test.keeper.mayServe(BASE.text)).toBe(false)
    expect(await get('2')).toBe('body 3')
    expect(await get('1')).toBe('body 4')
    expect([await get('1'), await get('2')]).toEqual(['stored body 4', 'stored body 3'])
  })

  it('are not found again by a marker that came after one could not be written', async () => {
    let commits = 0
    test.store.failures.commit = () => {
      if (++commits === 2) throw new Error('EIO')
    }
    await get('1')
    expect(test.keeper.mayServe(BASE.text)).toBe(false)
    expect(await get('2')).toBe('body 2')
    expect(await get('1')).toBe('body 3')
  })

  it('may be served while their marker is there, was evicted lately, or is on a disk that is out', async () => {
    await get('1')
    expect(test.keeper.mayServe(BASE.text)).toBe(true)
    expect(test.keeper.mayServe('o1 /other')).toBe(false)
    await test.store.drop(BASE.hash)
    test.store.wasEvicted.add(BASE.hash)
    expect(test.keeper.mayServe(BASE.text)).toBe(true)
    test.store.out = true
    expect(test.keeper.mayServe('o1 /other')).toBe(true)
  })
})
