import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { request } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { certify } from './certificates.js'
import { segment, tempFolder } from './edge.js'
import { startOrigin, type TestOrigin } from './origin.js'
import { EdgeProcess } from './processes.js'

const run = promisify(execFile)
const isRoot = process.getuid?.() === 0
/** An address of this host that can be taken away again. */
const ADDRESS = '10.231.17.9'

describe.each([1, 2])('SIGHUP to an edge of %i workers that cannot listen with a new certificate', (workers) => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let o2: TestOrigin
  let edge: EdgeProcess

  beforeEach(async () => {
    folder = await tempFolder()
    ;[o1, o2] = await Promise.all([startOrigin(), startOrigin()])
  })
  afterEach(async () => {
    await edge.end()
    await run('ip', ['address', 'del', `${ADDRESS}/32`, 'dev', 'lo']).catch(() => undefined)
    await Promise.all([o1.stop(), o2.stop()])
    await folder.remove()
  })

  it.skipIf(!isRoot)('changes nothing, in no process, and says why (needs root: an address that goes away)', async () => {
    await run('ip', ['address', 'add', `${ADDRESS}/32`, 'dev', 'lo'])
    const tls = { listen: `${ADDRESS}:8443`, ...(await certify(folder.path, 'first.test')) }
    edge = await EdgeProcess.start(folder.path, [o1], { workers, tls })
    const pids = edge.pids()
    await run('ip', ['address', 'del', `${ADDRESS}/32`, 'dev', 'lo'])
    await certify(folder.path, 'second.test')
    await edge.configure({
      origins: [{ id: 'o2', url: o2.url }],
      routes: { keys: { k1: 'a-key-of-the-reload-tests' }, require: true },
      limits: { requestsPerSecond: 0.001, requestBurst: 1 },
    })
    const line = await edge.reload()
    expect(line.msg).toContain('the old one stays in force')
    expect(JSON.stringify(line.err)).toContain('listen-failed')
    // Each on a connection of its own: at both workers.
    for (let number = 1; number <= 12; number++) {
      const { statusCode, headers, body } = await request(`${edge.url}/o1${segment(number)}`, { reset: true })
      await body.dump()
      expect([statusCode, headers['x-origin']]).toEqual([200, 'o1'])
    }
    expect(o2.requests).toEqual([])
    expect(JSON.parse((await edge.admin('/v1/config')).text)).toMatchObject({ origins: [{ id: 'o1' }], routes: { require: false } })
    expect(edge.pids()).toEqual(pids)
  })
})
