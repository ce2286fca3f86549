import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { segment } from './edge.js'
import { genericSite } from './generic-site.js'

const FRESH = { 'cache-control': 'max-age=60' }

describe('an unsafe request', () => {
  const site = genericSite()
  const purges = async () => (await readFile(join(site.folder, 'purges.jsonl'), 'utf8')).split('\n').length
  const post = (path: string) => site.edge.get(path, {}, 'POST')

  it('to what is not stored writes nothing down', async () => {
    site.serve(() => ({ headers: {} }))
    const before = await purges()
    for (let number = 0; number < 5; number++) expect((await post(`/app/api?${number}`)).status).toBe(200)
    expect(await purges()).toBe(before)
  })

  it('to what is stored is written down, and so it is while it is only on its way', async () => {
    let answer = () => {}
    site.serve(() => ({ headers: FRESH }))
    const before = await purges()
    await site.ask()
    await post('/app/a')
    expect(await purges()).toBe(before + 1)
    const asked = new Promise<void>((resolve) => {
      site.origin.behave((request, response) => {
        if (request.method === 'POST') return void response.writeHead(204).end()
        answer = () => response.writeHead(200, { ...FRESH, 'content-length': 3 }).end('old')
        resolve()
      })
    })
    const first = site.ask({}, '/app/b')
    await asked
    await post('/app/b')
    expect(await purges()).toBe(before + 2)
    answer()
    expect(await first).toEqual(['old', 'miss'])
    site.serve(() => ({ headers: FRESH, body: 'new' }))
    expect(await site.ask({}, '/app/b')).toEqual(['new', 'miss'])
  })

  it('leaves media alone', async () => {
    const media = `/o1${segment(1)}`
    site.origin.behave((_request, response) => void response.writeHead(200, { ...FRESH, 'content-length': 1 }).end('x'))
    await site.edge.get(media)
    await site.ask()
    await post('/app/a')
    await site.edge.idle()
    expect((await site.edge.get(media)).headers['x-cache']).toBe('hit')
  })
})
