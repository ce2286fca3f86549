import { appendFile, mkdir, readdir, readFile, rename, rm, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { assetDetailSchema, assetPageSchema, operationSchema, videoHoldingsSchema } from '@millrace/common/contracts/origin-api'
import { until } from '@millrace/common/testing/until'
import { request } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fileFacts, goldenMedia, type PreparedAsset, prepareAsset, writeAssetJson } from './prepare-asset.js'
import {
  assetPath,
  commit,
  control,
  rsync,
  stagingUrl,
  startOrigin,
  type TestOrigin,
  TRANSCODER,
  tempFolder,
  upload,
} from './start-origin.js'

let folder: Awaited<ReturnType<typeof tempFolder>>
let sources: string
let origin: TestOrigin

beforeAll(async () => {
  folder = await tempFolder()
  sources = join(folder.path, 'sources')
  origin = await startOrigin(folder.path)
})
afterAll(async () => {
  await origin?.stop()
  await folder?.remove()
})

const staged = (prepared: PreparedAsset, name: string) => join(origin.layout.staged(prepared.ref), name)

async function expectNothingVisible(prepared: PreparedAsset): Promise<void> {
  const { videoId, rev } = prepared.ref
  expect(await readdir(origin.layout.tmp)).toEqual([])
  await expect(stat(origin.layout.asset(prepared.ref))).rejects.toThrow('ENOENT')
  await expect(stat(origin.layout.map(prepared.ref))).rejects.toThrow('ENOENT')
  const answer = await request(`${origin.dataUrl}/files/${videoId}/${rev}/main.m3u8`)
  await answer.body.dump()
  expect(answer.statusCode).toBe(404)
}

describe('a commit is refused, names the file, and leaves nothing visible', () => {
  const refused = async (prepared: PreparedAsset, code: string, file: string) => {
    const operation = await commit(origin, prepared.ref, prepared.assetSha256)
    expect(operation).toMatchObject({ state: 'failed', error: { code } })
    expect(operation.error?.message).toContain(file)
    await expectNothingVisible(prepared)
  }

  it('when nothing was staged', async () => {
    await refused(await prepareAsset(sources), 'missing-file', 'asset.json')
  })

  it('when a listed file is missing, and goes through once it has come', async () => {
    const prepared = await prepareAsset(sources)
    await upload(origin, prepared, ['--exclude=audio-fra.mp4'])
    await refused(prepared, 'missing-file', 'audio-fra.mp4')
    await upload(origin, prepared)
    expect(await commit(origin, prepared.ref, prepared.assetSha256)).toMatchObject({ state: 'done' })
  })

  it('when a file is short, and goes through once it was sent again', async () => {
    const prepared = await prepareAsset(sources)
    await upload(origin, prepared)
    await truncate(staged(prepared, 'video-180p.mp4'), 1000)
    await refused(prepared, 'wrong-size', 'video-180p.mp4')
    await upload(origin, prepared)
    expect(await commit(origin, prepared.ref, prepared.assetSha256)).toMatchObject({ state: 'done' })
  })

  it('when a byte is wrong though size and time are right, and goes through once it was sent again', async () => {
    const prepared = await prepareAsset(sources)
    await upload(origin, prepared)
    const path = staged(prepared, 'video-180p.mp4')
    const { mtime, atime } = await stat(path)
    const bytes = await readFile(path)
    bytes[50_000]! ^= 1
    await rm(path)
    await writeFile(path, bytes)
    await utimes(path, atime, mtime)
    await refused(prepared, 'wrong-hash', 'video-180p.mp4')
    await upload(origin, prepared)
    expect(await commit(origin, prepared.ref, prepared.assetSha256)).toMatchObject({ state: 'done' })
  })

  it('when asset.json is not the one that the request names', async () => {
    const prepared = await prepareAsset(sources)
    await upload(origin, prepared)
    await refused({ ...prepared, assetSha256: '0'.repeat(64) }, 'wrong-hash', 'asset.json')
  })

  it('when asset.json is of another revision', async () => {
    const prepared = await prepareAsset(sources)
    const elsewhere = { ...prepared, ref: { ...prepared.ref, rev: 'r7' } }
    await upload(origin, elsewhere)
    await refused(elsewhere, 'bad-asset-json', 'r1')
  })

  it('when asset.json breaks its contract', async () => {
    const prepared = await prepareAsset(sources, {
      change: (asset) => {
        asset.files[0]!.name = '../../escape.mp4'
      },
    })
    await upload(origin, prepared)
    await refused(prepared, 'bad-asset-json', 'files.0.name')
  })

  it('when a listed file is a symbolic link', async () => {
    const prepared = await prepareAsset(sources)
    await upload(origin, prepared)
    const path = staged(prepared, 'video-360p.mp4')
    await rename(path, `${path}.real`)
    await symlink('video-360p.mp4.real', path)
    await refused(prepared, 'not-a-regular-file', 'video-360p.mp4')
  })

  it('when a listed file is a folder', async () => {
    const prepared = await prepareAsset(sources)
    await upload(origin, prepared)
    await rm(staged(prepared, 'video-360p.mp4'))
    await mkdir(staged(prepared, 'video-360p.mp4'))
    await refused(prepared, 'not-a-regular-file', 'video-360p.mp4')
  })

  it('when the staged folder is a link to another asset', async () => {
    const prepared = await prepareAsset(sources)
    await upload(origin, prepared)
    const elsewhere = join(folder.path, 'elsewhere')
    await rename(origin.layout.staged(prepared.ref), elsewhere)
    await symlink(elsewhere, origin.layout.staged(prepared.ref))
    await refused(prepared, 'not-a-regular-file', prepared.ref.videoId)
  })

  it('when the packager cannot use the media', async () => {
    const prepared = await prepareAsset(sources)
    const path = join(prepared.folder, 'video-360p.mp4')
    await writeFile(path, Buffer.alloc(5000, 'not an mp4 '))
    Object.assign(prepared.asset.files[0]!, await fileFacts(path))
    const lying = await writeAssetJson(prepared)
    await upload(origin, lying)
    await refused(lying, 'bad-media', '')
  })
})

describe('a commit', () => {
  it('makes exactly the listed files visible, read-only, and removes staging', async () => {
    const prepared = await prepareAsset(sources)
    await writeFile(join(prepared.folder, 'stray.txt'), 'not listed')
    await upload(origin, prepared)
    const operation = await commit(origin, prepared.ref, prepared.assetSha256)
    const bytes = prepared.asset.files.reduce((sum, file) => sum + file.bytes, 0)
    expect(operation).toMatchObject({ state: 'done', bytesDone: bytes, bytesTotal: bytes })

    const asset = origin.layout.asset(prepared.ref)
    expect((await readdir(asset)).sort()).toEqual([...prepared.asset.files.map((file) => file.name), 'asset.json'].sort())
    for (const file of prepared.asset.files) expect((await stat(join(asset, file.name))).mode & 0o777).toBe(0o444)
    await expect(stat(origin.layout.staged(prepared.ref))).rejects.toThrow('ENOENT')
    await until('an empty trash', async () => (await readdir(origin.layout.trash)).length === 0)

    const vod = JSON.parse(await readFile(join(origin.layout.map(prepared.ref), 'vod.json'), 'utf8'))
    expect(vod.sequences[2]).toEqual({
      id: 'aeng',
      language: 'eng',
      label: 'English',
      clips: [{ type: 'source', path: join(asset, 'audio-eng.mp4') }],
    })

    const detail = await control(origin, 'GET', assetPath(prepared.ref), { schema: assetDetailSchema })
    expect(detail).toMatchObject({ ...prepared.ref, live: true, bytes, assetSha256: prepared.assetSha256, asset: prepared.asset })
    expect(detail.manifests.hls).toContain('#EXTM3U')
    expect(detail.manifests.dash).toContain('<MPD')
  })

  it('given twice is done at once the second time, and takes late staging along', async () => {
    const prepared = await prepareAsset(sources)
    await upload(origin, prepared)
    await commit(origin, prepared.ref, prepared.assetSha256)
    await upload(origin, prepared)
    const again = await control(origin, 'POST', assetPath(prepared.ref, '/commit'), {
      body: { version: 1, assetSha256: prepared.assetSha256 },
      schema: operationSchema,
    })
    expect(again.state).toBe('done')
    await expect(stat(origin.layout.staged(prepared.ref))).rejects.toThrow('ENOENT')
  })

  it('of another asset.json for a committed revision is a conflict', async () => {
    const prepared = await prepareAsset(sources)
    await upload(origin, prepared)
    await commit(origin, prepared.ref, prepared.assetSha256)
    await expect(commit(origin, prepared.ref, '1'.repeat(64))).rejects.toMatchObject({ code: 'already-committed-differently', status: 409 })
  })

  it('asked for twice at the same time is one operation', async () => {
    const prepared = await prepareAsset(sources)
    await upload(origin, prepared)
    const [first, second] = await Promise.all([
      commit(origin, prepared.ref, prepared.assetSha256),
      commit(origin, prepared.ref, prepared.assetSha256),
    ])
    expect(first.state).toBe('done')
    expect(second.id).toBe(first.id)
  })

  it('stands when a transfer writes the same names afterwards', async () => {
    const prepared = await prepareAsset(sources)
    await upload(origin, prepared)
    await commit(origin, prepared.ref, prepared.assetSha256)
    await appendFile(join(prepared.folder, 'video-360p.mp4'), 'later')
    await upload(origin, prepared)
    const path = join(origin.layout.asset(prepared.ref), 'video-360p.mp4')
    expect((await readFile(path)).equals(await goldenMedia('video-360p.mp4'))).toBe(true)
    await control(origin, 'DELETE', assetPath(prepared.ref))
  })

  it('stands when a transfer that began before it ends after it', async () => {
    const prepared = await prepareAsset(sources)
    await upload(origin, prepared)
    // Other bytes of the same size under a listed name, slow enough to be under way during the commit.
    const late = join(folder.path, 'late')
    await mkdir(late)
    const { length } = await goldenMedia('video-360p.mp4')
    await writeFile(join(late, 'video-360p.mp4'), Buffer.alloc(length, 7))
    const args = ['-rt', '--ignore-times', '--whole-file', '--bwlimit=300', '--timeout=20', `${late}/`, stagingUrl(origin, prepared.ref)]
    const transfer = rsync(args, TRANSCODER.secret)
    await until('the late transfer to be writing', async () =>
      (await readdir(origin.layout.staged(prepared.ref))).some((name) => name.startsWith('.video-360p.mp4.')),
    )
    expect(await commit(origin, prepared.ref, prepared.assetSha256)).toMatchObject({ state: 'done' })
    await transfer
    const path = join(origin.layout.asset(prepared.ref), 'video-360p.mp4')
    expect((await readFile(path)).equals(await goldenMedia('video-360p.mp4'))).toBe(true)
    await until('an empty trash', async () => (await readdir(origin.layout.trash)).length === 0)
  })
})

describe('a delete', () => {
  it('is fine when nothing is there', async () => {
    const { ref } = await prepareAsset(sources)
    await control(origin, 'DELETE', assetPath(ref))
  })

  it('ends the serving at once and frees every byte, staging too', async () => {
    const prepared = await prepareAsset(sources)
    await upload(origin, prepared)
    await commit(origin, prepared.ref, prepared.assetSha256)
    await upload(origin, prepared)
    await control(origin, 'DELETE', assetPath(prepared.ref))
    await expectNothingVisible(prepared)
    await expect(stat(origin.layout.staged(prepared.ref))).rejects.toThrow('ENOENT')
    await until('an empty trash', async () => (await readdir(origin.layout.trash)).length === 0)
    await expect(control(origin, 'GET', assetPath(prepared.ref))).rejects.toMatchObject({ code: 'not-found', status: 404 })
  })

  it('lets the revision be committed anew', async () => {
    const prepared = await prepareAsset(sources)
    await upload(origin, prepared)
    await commit(origin, prepared.ref, prepared.assetSha256)
    await control(origin, 'DELETE', assetPath(prepared.ref))
    await upload(origin, prepared)
    expect(await commit(origin, prepared.ref, prepared.assetSha256)).toMatchObject({ state: 'done' })
  })
})

describe('the inventory', () => {
  it('pages through every asset in order, and tells the staged revisions of a video', async () => {
    const first = await prepareAsset(sources)
    const second = await prepareAsset(sources, { ref: { videoId: first.ref.videoId, rev: 'r2' } })
    for (const prepared of [first, second]) {
      await upload(origin, prepared)
      await commit(origin, prepared.ref, prepared.assetSha256)
    }
    await upload(origin, await prepareAsset(sources, { ref: { videoId: first.ref.videoId, rev: 'r3' } }))

    const keys: string[] = []
    let cursor: string | undefined
    do {
      const query: string = cursor === undefined ? '?limit=2' : `?limit=2&cursor=${encodeURIComponent(cursor)}`
      const page = await control(origin, 'GET', `/v1/assets${query}`, { schema: assetPageSchema })
      expect(page.items.length).toBeLessThanOrEqual(2)
      keys.push(...page.items.map((item) => `${item.videoId}/${item.rev}`))
      cursor = page.next
    } while (cursor !== undefined)
    expect(keys).toEqual([...new Set(keys)].sort())
    expect(keys).toEqual(expect.arrayContaining([`${first.ref.videoId}/r1`, `${first.ref.videoId}/r2`]))

    const holdings = await control(origin, 'GET', `/v1/videos/${first.ref.videoId}`, { schema: videoHoldingsSchema })
    expect(holdings.assets.map((item) => item.rev)).toEqual(['r1', 'r2'])
    expect(holdings.staged).toEqual(['r3'])
  })
})
