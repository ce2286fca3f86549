import type { ServerResponse } from 'node:http'
import { until } from '@millrace/common/testing/until'
import { request } from 'undici'
import { describe, expect, it } from 'vitest'
import { genericSite } from './generic-site.js'

const PATH = '/app/a'

describe('requests for one URL at a time', () => {
  const site = genericSite()

  /** Answers that wait for the test: `first` once the head and the first byte are to go, `rest` for what is left of `body n`. */
  const slowly = (headers: Record<string, string>) => {
    const answers: { first: () => void; rest: () => void }[] = []
    site.origin.behave((asking, response: ServerResponse) => {
      const body = `body ${answers.length + 1}`
      response.sendDate = false
      const first = () => {
        if (asking.headers['if-none-match']) return void response.writeHead(304, headers).end()
        response.writeHead(200, { ...headers, 'transfer-encoding': 'chunked' }).write(body[0])
      }
      answers.push({ first, rest: () => response.end(body.slice(1)) })
    })
    return answers
  }
  const asked = (count: number) => until(`${count} requests at the origin`, () => site.origin.requests.length === count)
  const ask = async (headers: Record<string, string> = {}) => {
    const { body, headers: fields } = await site.edge.get(PATH, headers)
    return [body.toString(), fields['x-cache']]
  }
  /** A request of which the head of its answer is there. */
  const open = async (answers: { first: () => void }[]) => {
    const opened = request(site.edge.url + PATH)
    await asked(1)
    answers[0]!.first()
    const { body, headers } = await opened
    return async () => [await body.text(), headers['x-cache']]
  }
  /** So many are at the edge, and have found out what is stored and what is on its way: what came after them has. */
  const running = async (count: number) => {
    await until(`${count} requests`, async () => (await site.edge.count('running_requests')) === count)
    for (let i = 0; i < 5; i++) await site.edge.get(`/app/none?${i}`, { 'cache-control': 'only-if-cached' })
  }

  it.each<[string, Record<string, string>, Record<string, string>, string]>([
    ['that is stale by then', { 'cache-control': 'max-age=1' }, {}, 'miss'],
    ['that must be validated at each use', { 'cache-control': 'no-cache', etag: '"a"' }, {}, 'bypass'],
    ['that was never fresh', { 'cache-control': 'max-age=0', etag: '"a"' }, {}, 'bypass'],
    ['by no-cache', { 'cache-control': 'max-age=60' }, { 'cache-control': 'no-cache' }, 'miss'],
    ['by max-age', { 'cache-control': 'max-age=60' }, { 'cache-control': 'max-age=1' }, 'miss'],
    ['by min-fresh', { 'cache-control': 'max-age=60' }, { 'cache-control': 'min-fresh=59' }, 'miss'],
  ])('do not share a running answer %s', async (_what, response, wants, phase) => {
    const answers = slowly(response)
    const first = await open(answers)
    site.forward(2000)
    const second = ask(wants)
    await asked(2)
    answers[1]!.first()
    answers[1]!.rest()
    expect(await second).toEqual(['body 2', phase])
    answers[0]!.rest()
    expect(await first()).toEqual(['body 1', 'miss'])
  })

  it('keep the newer of two answers, whichever ends first', async () => {
    const answers = slowly({ 'cache-control': 'max-age=60' })
    const first = await open(answers)
    const second = ask({ 'cache-control': 'no-cache' })
    await asked(2)
    answers[1]!.first()
    answers[1]!.rest()
    await second
    answers[0]!.rest()
    await first()
    await site.edge.idle()
    expect(await ask()).toEqual(['body 2', 'hit'])
  })

  it('fill the disks with no more than four answers at once, however often they reload', async () => {
    const answers = slowly({ 'cache-control': 'max-age=60' })
    const first = await open(answers)
    const others = []
    for (let count = 2; count <= 6; count++) {
      const other = request(site.edge.url + PATH, { headers: { 'cache-control': 'no-cache' } })
      await asked(count)
      answers.at(-1)!.first()
      others.push(await other)
    }
    for (const { rest } of answers) rest()
    await first()
    await Promise.all(others.map(({ body }) => body.text()))
    expect(others.map(({ headers }) => headers['x-cache'])).toEqual(['miss', 'miss', 'miss', 'bypass', 'bypass'])
    await site.edge.idle()
    expect(await ask()).toEqual(['body 4', 'hit'])
  })

  it('share a running answer that each of them may have', async () => {
    const answers = slowly({ 'cache-control': 'max-age=60' })
    const first = await open(answers)
    const second = ask({ 'cache-control': 'max-age=30' })
    await running(2)
    answers[0]!.rest()
    expect([await first(), await second]).toEqual([
      ['body 1', 'miss'],
      ['body 1', 'coalesced'],
    ])
  })

  it.each<[string, Record<string, string>, Record<string, string>]>([
    ['is for each use to be validated', { 'cache-control': 'no-cache', etag: '"a"' }, {}],
    ['is older than the other one wants', { 'cache-control': 'max-age=60', age: '10' }, { 'cache-control': 'max-age=5' }],
    ['another cache may have given to one that wanted less', { 'cache-control': 'max-age=60' }, { 'cache-control': 'no-cache' }],
  ])('do not share an answer to come that %s', async (_what, response, wants) => {
    const answers = slowly(response)
    const first = ask()
    await asked(1)
    const second = ask(wants)
    await running(2)
    answers[0]!.first()
    answers[0]!.rest()
    await asked(2)
    answers[1]!.first()
    answers[1]!.rest()
    expect([await first, await second]).toEqual([
      ['body 1', 'miss'],
      ['body 2', 'bypass'],
    ])
  })

  it.each<[string, Record<string, string>, Record<string, string>]>([
    ['short its lifetime', { 'cache-control': 'max-age=0', etag: '"a"' }, {}],
    ['fresh all of them want it', { 'cache-control': 'max-age=60' }, { 'cache-control': 'no-cache' }],
  ])('share an answer to come, however %s', async (_what, response, wants) => {
    const answers = slowly(response)
    const all = [ask(wants)]
    await asked(1)
    all.push(ask(wants), ask(wants))
    await running(3)
    answers[0]!.first()
    answers[0]!.rest()
    expect((await Promise.all(all)).map(([body]) => body)).toEqual(['body 1', 'body 1', 'body 1'])
    expect(site.origin.requests.length).toBe(1)
  })

  it('have what no-cache protects validated for each of them, and sent to none of them anew', async () => {
    const answers = slowly({ 'cache-control': 'no-cache', etag: '"a"' })
    const first = ask()
    await asked(1)
    answers[0]!.first()
    answers[0]!.rest()
    await first
    await site.edge.idle()
    const all = [ask()]
    await asked(2)
    all.push(ask(), ask())
    await running(3)
    answers[1]!.first()
    await asked(4)
    for (const answer of answers.slice(2)) answer.first()
    expect(await Promise.all(all)).toEqual(Array(3).fill(['body 1', 'revalidated']))
    expect(site.origin.headers.slice(1).map((headers) => headers['if-none-match'])).toEqual(['"a"', '"a"', '"a"'])
  })
})
