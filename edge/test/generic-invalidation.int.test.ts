import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '@millrace/common/testing/until'
import { describe, expect, it } from 'vitest'
import { segment, tempFolder } from './edge.js'
import { answering, genericSite, PATHS } from './generic-site.js'
import { startOrigin } from './origin.js'
import { EdgeProcess } from './processes.js'
import { viewerOfEach } from './viewers.js'

const FRESH = { 'cache-control': 'max-age=60' }

describe('an unsafe request', () => {
  const site = genericSite()
  const purges = async () => (await readFile(join(site.folder, 'purges.jsonl'), 'utf8')).split('\n').length
  const post = (path: string) => site.edge.get(path, {}, 'POST')

  it('to what is not stored writes nothing down', async () => {
    site.serve(() => ({ headers: {} }))
    // Until the folders are scanned anything may be there.
    const written = async () => {
      const before = await purges()
      await post('/app/api')
      return (await purges()) > before
    }
    await until('the end of the scan', async () => !(await written()))
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

  it('that was executed is answered, and takes effect, also when no disk takes the purge', async () => {
    site.serve((request) => (request.method === 'GET' ? { headers: FRESH } : { status: 201, body: 'done' }))
    await site.ask()
    const log = join(site.folder, 'purges.jsonl')
    await rm(log)
    await mkdir(log)
    const answer = await post('/app/a')
    expect([answer.status, answer.body.toString()]).toEqual([201, 'done'])
    expect(await site.ask()).toEqual(['body 3', 'miss'])
    expect(await site.edge.count('cache_faults_total', { name: 'operation', value: 'invalidate' })).toBe(1)
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

it('an unsafe request during which the keeper dies is answered, and takes effect in both workers', async () => {
  const folder = await tempFolder()
  const origin = await startOrigin()
  const edge = await EdgeProcess.start(folder.path, [origin], { workers: 2, paths: PATHS })
  try {
    let version = 1
    const pages = answering(() => ({ headers: FRESH, body: `version ${version}` }))
    origin.behave((request, response) => {
      if (request.method === 'GET') return pages(request, response)
      version = 2
      process.kill(edge.roles().keeper!, 'SIGKILL')
      response.writeHead(201, { 'content-length': 4 }).end('done')
    })
    const viewers = await viewerOfEach(edge.port, edge.roles().workers)
    const seen = async () => {
      const bodies = []
      for (const viewer of viewers) bodies.push((await viewer.get('/app/a')).body.toString())
      await edge.idle()
      return bodies
    }
    expect(await seen()).toEqual(['version 1', 'version 1'])
    const { status, body } = await edge.get('/app/a', {}, 'POST')
    expect([status, body.toString()]).toEqual([201, 'done'])
    await until('the effect in both', async () => (await seen()).every((text) => text === 'version 2'))
    await until('what is stored anew', async () => (await viewers[0]!.get('/app/a')).headers['x-cache'] === 'hit')
    for (const viewer of viewers) viewer.close()
  } finally {
    await edge.end()
    await origin.stop()
    await folder.remove()
  }
})
