import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FollowedBody } from '../src/keeper/followed-body.js'
import { RemoteKeeper } from '../src/keeper/ipc/client.js'
import { KeeperServer } from '../src/keeper/ipc/server.js'
import type { Failures } from './keeper-store.js'
import { type Behaviour, BODY_LENGTH, bytesOf, serveBytes, serveInTwo, startOrigin, type TestOrigin } from './origin.js'
import { readAll, startKeeper, type TestKeeper } from './test-keeper.js'

const PATH = '/dash/01hzy3v8k2m4n6p8q0r2s4t6v8/r1/fragment-1-f1-v1-x3.m4s'
const body = bytesOf(PATH, BODY_LENGTH)
const run = promisify(execFile)

const throwing = (code: string) => () => {
  throw Object.assign(new Error(`${code}: the disk fails`), { code })
}

const failingAfter = (offset: number) => (at: number) => {
  if (at > offset) throwing('EIO')()
}

describe('a keeper whose disk fails', () => {
  let o1: TestOrigin
  let test: TestKeeper
  beforeEach(async () => {
    o1 = await startOrigin()
    test = await startKeeper([o1])
  })
  afterEach(async () => {
    await test.close()
    await o1.stop()
  })

  const bodyOf = async (path = PATH) => {
    const found = await test.find(path)
    if (found.kind !== 'body') throw new Error(found.kind)
    return found.body
  }
  const herd = async (size: number) => {
    const answers = await Promise.all(Array.from({ length: size }, () => test.get(PATH)))
    expect(answers.every((answer) => answer.body.equals(body))).toBe(true)
  }
  const nothingLeft = async () => {
    await test.keeper.idle()
    await until('memory and descriptors to be free', () => test.keeper.memoryBytes === 0 && test.files.size === 0)
    expect(test.store.has(test.request(PATH).key.hash)).toBe(false)
  }
  const unframed: Behaviour = (request, response) => {
    response.writeHead(200, { 'content-type': 'video/mp4' }).end(bytesOf(request.url ?? '', BODY_LENGTH))
  }

  it('breaks what it can neither write nor read back, and only for those who need it', async () => {
    test.store.failures.write = failingAfter(1 << 18)
    test.store.failures.readBack = throwing('EIO')
    // More than is held back before the first write.
    o1.behave(serveBytes(4_000_000))
    await expect(bodyOf().then((reader) => readAll(reader))).rejects.toMatchObject({ code: 'body-broken' })
    await nothingLeft()
    expect(test.ended[0]?.outcome).toBe('broken')
    test.store.failures.write = undefined
    o1.behave(serveBytes())
    expect(await test.get(PATH)).toEqual({ kind: 'miss', body })
  })

  it('lets requests pass when a body is more than the memory budget, and breaks one of unknown length that becomes so', async () => {
    await test.close()
    test = await startKeeper([o1], { memoryBytes: BODY_LENGTH - 1 })
    test.store.full = true
    expect(await test.find(PATH)).toMatchObject({ kind: 'pass', reason: 'not-now' })
    o1.behave(unframed)
    await expect(bodyOf().then((reader) => readAll(reader))).rejects.toMatchObject({ code: 'body-broken' })
    await nothingLeft()
  })

  it('tells other processes to pass: before it asks an origin where every disk is out', async () => {
    await test.close()
    test = await startKeeper([o1], { memoryBytes: 0 })
    test.store.full = true
    expect(await test.find(PATH)).toMatchObject({ kind: 'pass', reason: 'not-now' })
    expect(o1.requests.length).toBe(1)
    test.store.out = true
    expect(await test.find(PATH)).toMatchObject({ kind: 'pass', reason: 'not-now' })
    expect(o1.requests.length).toBe(1)
    Object.assign(test.store, { full: false, out: false })
    test.store.failures.write = failingAfter(0)
    await expect(bodyOf().then((reader) => readAll(reader))).rejects.toMatchObject({ code: 'body-broken' })
    await nothingLeft()
  })

  describe('in another process than its viewers', () => {
    let socket: { folder: string; server: KeeperServer; remote: RemoteKeeper }
    beforeEach(async () => {
      await test.close()
      test = await startKeeper([o1], { memoryBytes: 0 })
      const folder = await mkdtemp(join(tmpdir(), 'millrace-keeper-'))
      const path = join(folder, 'keeper.sock')
      const quiet = { gone: () => undefined, disksOut: () => undefined, reset: () => undefined }
      const server = await KeeperServer.listen({
        keeper: test.keeper,
        path,
        purges: () => [],
        onLate: () => undefined,
        onFault: () => undefined,
      })
      const purges = { restore: () => undefined, apply: () => undefined }
      const remote = new RemoteKeeper({ path, worker: 'worker-1.1', listener: quiet, purges, onFault: () => undefined })
      socket = { folder, server, remote }
      await remote.connected()
      o1.behave(serveBytes(BODY_LENGTH, { etag: '"a"' }))
    })
    afterEach(async () => {
      socket.remote.close()
      await socket.server.close()
      await rm(socket.folder, { recursive: true })
    })

    const viewer = async () => {
      const ask = async () => {
        const found = await test.find(PATH, undefined, socket.remote)
        if (found.kind === 'stored') return found.entry
        if (found.kind === 'body') return found
        throw new Error(found.kind)
      }
      return new FollowedBody(await ask(), ask)
    }

    it('costs them the rest where the second fetch is not known to be of the same body, and when it never works', async () => {
      o1.behave(serveBytes())
      test.store.failures.write = failingAfter(0)
      await expect(viewer().then((body) => readAll(body))).rejects.toMatchObject({ code: 'body-broken' })
      o1.behave(serveBytes(BODY_LENGTH, { etag: '"a"' }))
      const asked = o1.requests.length
      await expect(viewer().then((body) => readAll(body))).rejects.toMatchObject({ code: 'body-broken' })
      expect(o1.requests.length - asked).toBe(4)
    })

    it('fetches once more what a write failed for, for all of them together', async () => {
      let failing = true
      test.store.failures.write = (at) => {
        if (at > 0 && failing) {
          failing = false
          throwing('EIO')()
        }
      }
      const bodies = await Promise.all(Array.from({ length: 10 }, async () => readAll(await viewer())))
      expect(bodies.every((each) => each.equals(body))).toBe(true)
      expect(o1.requests.length).toBe(2)
    })

    it.each<[string, () => void]>([
      ['could not be stored', () => Object.assign(test.store.failures, { commit: throwing('ENOSPC') })],
      ['was purged meanwhile', () => test.purge()],
    ])('fetches once more what %s, so that its file was gone before it was open', async (_what, spoil) => {
      const { files } = test
      const acquire = files.acquire.bind(files)
      files.acquire = async (path) => {
        await test.keeper.idle()
        return acquire(path)
      }
      let sendRest = () => {}
      o1.behave((_request, response) => {
        response.writeHead(200, { 'content-length': BODY_LENGTH, etag: '"a"' })
        response.write(body.subarray(0, 60_000))
        sendRest = () => response.end(body.subarray(60_000))
      })
      const late = await viewer()
      spoil()
      o1.behave(serveBytes(BODY_LENGTH, { etag: '"a"' }))
      sendRest()
      await test.keeper.idle()
      test.store.failures.commit = undefined
      expect((await readAll(late)).equals(body)).toBe(true)
      expect(o1.requests.length).toBe(2)
    })
  })

  it.each<[string, (() => Promise<void>) | Failures | { full: boolean } | { out: boolean }]>([
    ['cannot be opened', () => writeFile(join(test.folder, 'tmp'), '')],
    ['has no room', { full: true }],
    ['is out', { out: true }],
    ['fails at the first byte', { write: throwing('ENOSPC') }],
    ['fails in mid-body', { write: failingAfter(0) }],
  ])('coalesces and breaks nobody when the disk %s', async (_what, spoil) => {
    if (typeof spoil === 'function') await spoil()
    else if ('full' in spoil || 'out' in spoil) Object.assign(test.store, spoil)
    else Object.assign(test.store.failures, spoil)
    for (const behaviour of [serveBytes(), unframed]) {
      const asked = o1.requests.length
      o1.behave(behaviour)
      await herd(50)
      expect(o1.requests.length).toBe(asked + 1)
      await nothingLeft()
      expect(test.ended.at(-1)).toMatchObject({ outcome: 'not-stored', bytes: BODY_LENGTH })
    }
  })

  it('moves to memory under readers that are in the midst of the file', async () => {
    const half = serveInTwo(150_000)
    o1.behave(half.behaviour)
    const early = await bodyOf()
    const buffer = Buffer.alloc(1 << 18)
    let read = 0
    while (read < 150_000) {
      const view = await early.read(buffer, read, BODY_LENGTH)
      expect(body.subarray(read, read + view.length).equals(view)).toBe(true)
      read += view.length
    }
    const waiting = early.read(buffer, read, BODY_LENGTH)
    test.store.failures.write = throwing('EIO')
    half.release()
    const view = Buffer.from(await waiting)
    expect(body.subarray(read, read + view.length).equals(view)).toBe(true)
    const late = await bodyOf()
    expect((await readAll(early, read)).equals(body.subarray(read))).toBe(true)
    expect((await readAll(late)).equals(body)).toBe(true)
    await nothingLeft()
    expect(await test.tmp()).toEqual([])
    expect(test.faults).toEqual(['write: EIO: the disk fails'])
  })

  it('keeps a body in memory until its last reader has left, and then not', async () => {
    test.store.full = true
    const slow = await bodyOf()
    await herd(3)
    await test.keeper.idle()
    expect(test.keeper.memoryBytes).toBe(BODY_LENGTH)
    expect((await readAll(slow)).equals(body)).toBe(true)
    await nothingLeft()
  })

  it('gives its viewers everything when the entry cannot be committed', async () => {
    test.store.failures.commit = throwing('ENOSPC')
    const reader = await bodyOf()
    await test.keeper.idle()
    expect((await readAll(reader)).equals(body)).toBe(true)
    await nothingLeft()
    expect([test.ended[0]?.outcome, test.faults, await test.tmp()]).toEqual(['not-stored', ['commit: ENOSPC: the disk fails'], []])
  })

  it('fetches what it cannot look up', async () => {
    await test.get(PATH)
    await test.keeper.idle()
    test.store.failures.look = throwing('EIO')
    expect((await test.get(PATH)).kind).toBe('miss')
    expect(test.faults).toEqual(['look: EIO: the disk fails'])
  })

  const mounted = async () => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-full-'))
    await mkdir(join(folder, 'disk'))
    try {
      await run('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', join(folder, 'disk')])
      return folder
    } catch {
      await rm(folder, { recursive: true })
      return undefined
    }
  }

  it('goes on in memory when a real disk is full in mid-body', async ({ skip }) => {
    const folder = await mounted()
    if (folder === undefined) return skip('mounting a small disk needs root')
    await test.close()
    test = await startKeeper([o1], { folder: join(folder, 'disk') })
    try {
      await herd(20)
      await nothingLeft()
      expect([o1.requests.length, test.faults]).toEqual([1, [expect.stringContaining('ENOSPC')]])
    } finally {
      await run('umount', ['-l', join(folder, 'disk')])
      await rm(folder, { recursive: true })
    }
  })
})
