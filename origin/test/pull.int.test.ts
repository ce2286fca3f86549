import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Operation, operationSchema } from '@millrace/common/contracts/origin-api'
import { freePort } from '@millrace/common/testing/ports'
import { request } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLayout } from '../src/assets/layout.js'
import { pull as pullAsset } from '../src/assets/pull.js'
import { type PreparedAsset, prepareAsset, sha256 } from './prepare-asset.js'
import { assetPath, commit, control, ended, SIBLING, startOrigin, type TestOrigin, tempFolder, upload } from './start-origin.js'

let folder: Awaited<ReturnType<typeof tempFolder>>
let first: TestOrigin
let second: TestOrigin

beforeAll(async () => {
  folder = await tempFolder()
  first = await startOrigin(join(folder.path, 'o1'))
  second = await startOrigin(join(folder.path, 'o2'), { id: 'o2' })
})
afterAll(async () => {
  await second?.stop()
  await first?.stop()
  await folder?.remove()
})

async function held(): Promise<PreparedAsset> {
  const prepared = await prepareAsset(join(folder.path, 'sources'))
  await upload(first, prepared)
  await commit(first, prepared.ref, prepared.assetSha256)
  return prepared
}

async function pull(to: TestOrigin, prepared: PreparedAsset, rsyncUrl: string, assetSha256 = prepared.assetSha256): Promise<Operation> {
  const body = { version: 1, from: { id: 'o1', rsyncUrl }, assetSha256 }
  return ended(to, await control(to, 'POST', assetPath(prepared.ref, '/pull'), { body, schema: operationSchema }))
}

describe('a pull fails, and leaves nothing visible', () => {
  it('when the sibling does not answer', async () => {
    const prepared = await held()
    const operation = await pull(second, prepared, `rsync://127.0.0.1:${await freePort()}`)
    expect(operation).toMatchObject({ state: 'failed', error: { code: 'pull-failed', source: 'transfer', retryable: true } })
    expect(operation.error?.detail).toContain('refused')
    await expect(stat(second.layout.asset(prepared.ref))).rejects.toThrow('ENOENT')
  })

  it('when the sibling does not have the asset', async () => {
    const operation = await pull(second, await prepareAsset(join(folder.path, 'sources')), first.rsyncUrl)
    expect(operation).toMatchObject({ state: 'failed', error: { code: 'pull-failed' } })
    expect(operation.error?.detail).toContain('No such file')
  })

  it('when the secrets differ', async () => {
    const prepared = await held()
    const other = await startOrigin(join(folder.path, 'o3'), {
      rsync: {
        listen: '127.0.0.1:0',
        transcoders: [{ user: 't', secret: 'abcdefghijklmnop' }],
        sibling: { ...SIBLING, secret: 'another-secret-012345' },
      },
    })
    try {
      const operation = await pull(other, prepared, first.rsyncUrl)
      expect(operation.error?.code).toBe('pull-failed')
      expect(operation.error?.detail).toContain('auth failed')
    } finally {
      await other.stop()
    }
  })

  it('when the sibling has another asset.json, before any media is moved', async () => {
    const prepared = await held()
    const operation = await pull(second, prepared, first.rsyncUrl, '2'.repeat(64))
    expect(operation).toMatchObject({ state: 'failed', error: { code: 'wrong-hash' } })
    expect((await readdir(second.layout.staged(prepared.ref))).filter((name) => name.endsWith('.mp4'))).toEqual([])
  })

  it('when the disk has no room for it, before any media is moved', async () => {
    const prepared = await held()
    const layout = createLayout(join(folder.path, 'small'), join(folder.path, 'small-state'))
    const wanted: number[] = []
    const source = {
      rsyncUrl: first.rsyncUrl,
      user: SIBLING.user,
      password: SIBLING.secret,
      timeoutMs: 10_000,
      ensureSpace: async (bytes: number) => {
        wanted.push(bytes)
        throw new Error('full')
      },
    }
    const work = { onTotal: () => {}, onBytes: () => {}, signal: new AbortController().signal }
    await expect(pullAsset(layout, prepared.ref, prepared.assetSha256, source, work)).rejects.toThrow('full')
    expect(wanted).toEqual([prepared.asset.files.reduce((sum, file) => sum + file.bytes, 0)])
    expect(await readdir(layout.staged(prepared.ref))).toEqual(['asset.json'])
  })

  it("when the sibling's bytes have rotted, naming the file", async () => {
    const prepared = await held()
    const path = join(first.layout.asset(prepared.ref), 'video-180p.mp4')
    const bytes = await readFile(path)
    bytes[60_000]! ^= 1
    await rm(path)
    await writeFile(path, bytes)
    const operation = await pull(second, prepared, first.rsyncUrl)
    expect(operation).toMatchObject({ state: 'failed', error: { code: 'wrong-hash' } })
    expect(operation.error?.message).toContain('video-180p.mp4')
  })

  it('when its URL carries an account, a path or options', async () => {
    const prepared = await held()
    for (const rsyncUrl of [
      'rsync://evil@127.0.0.1:1',
      'rsync://127.0.0.1:1/assets/../x',
      'rsync://127.0.0.1:1/?x',
      'http://127.0.0.1:1',
    ]) {
      await expect(pull(second, prepared, rsyncUrl)).rejects.toMatchObject({ code: 'invalid-request', status: 400 })
    }
  })
})

describe('a pull', () => {
  it('makes a replica that answers with the same bytes and ETags', async () => {
    const prepared = await held()
    const operation = await pull(second, prepared, first.rsyncUrl)
    const bytes = prepared.asset.files.reduce((sum, file) => sum + file.bytes, 0)
    expect(operation).toMatchObject({ state: 'done', bytesDone: 2 * bytes, bytesTotal: 2 * bytes })
    const { videoId, rev } = prepared.ref
    const paths = [
      'files/V/main.m3u8',
      'files/V/main.mpd',
      'files/V/poster.jpg',
      'dash/V/init-f1-v1-x3.mp4',
      'dash/V/fragment-2-f3-a1-x3.m4s',
    ]
    for (const path of paths.map((text) => text.replace('V', `${videoId}/${rev}`))) {
      const [a, b] = await Promise.all([first, second].map((origin) => request(`${origin.dataUrl}/${path}`)))
      expect(b!.statusCode, path).toBe(200)
      expect(b!.headers.etag).toBe(a!.headers.etag)
      expect(sha256(Buffer.from(await b!.body.arrayBuffer()))).toBe(sha256(Buffer.from(await a!.body.arrayBuffer())))
    }
    await expect(stat(second.layout.staged(prepared.ref))).rejects.toThrow('ENOENT')
  })
})
