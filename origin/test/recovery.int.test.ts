import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { heldAssetSchema, originStatusSchema } from '@millrace/common/contracts/origin-api'
import { until } from '@millrace/common/testing/until'
import { request } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type PreparedAsset, prepareAsset } from './prepare-asset.js'
import { assetPath, commit, control, startOrigin, type TestOrigin, tempFolder, upload } from './start-origin.js'

let folder: Awaited<ReturnType<typeof tempFolder>>
let origin: TestOrigin | undefined

beforeEach(async () => {
  folder = await tempFolder()
})
afterEach(async () => {
  await origin?.stop()
  origin = undefined
  await folder.remove()
})

async function restart(change: Record<string, unknown> = {}): Promise<TestOrigin> {
  await origin?.stop()
  origin = await startOrigin(folder.path, change)
  return origin
}

async function heldBy(server: TestOrigin): Promise<PreparedAsset> {
  const prepared = await prepareAsset(join(folder.path, 'sources'))
  await upload(server, prepared)
  await commit(server, prepared.ref, prepared.assetSha256)
  return prepared
}

async function status(server: TestOrigin, prepared: PreparedAsset, name = 'main.mpd'): Promise<number> {
  const answer = await request(`${server.dataUrl}/files/${prepared.ref.videoId}/${prepared.ref.rev}/${name}`)
  await answer.body.dump()
  return answer.statusCode
}

const held = (server: TestOrigin, prepared: PreparedAsset) => control(server, 'GET', assetPath(prepared.ref), { schema: heldAssetSchema })

describe('after a restart', () => {
  it('what was held is held and served, with the same times', async () => {
    const first = await restart()
    const prepared = await heldBy(first)
    const before = await held(first, prepared)
    const second = await restart()
    expect(await held(second, prepared)).toEqual(before)
    expect(await status(second, prepared)).toBe(200)
  })

  it('half-made commits and half-made map folders are gone', async () => {
    const { layout } = await restart()
    await origin?.stop()
    await mkdir(join(layout.tmp, 'commit-dead1'), { recursive: true })
    await writeFile(join(layout.tmp, 'commit-dead1', 'video.mp4'), 'x')
    await mkdir(join(layout.stateTmp, 'map-dead'), { recursive: true })
    await mkdir(join(layout.trash, 'gone'), { recursive: true })
    await restart()
    expect(await Promise.all([layout.tmp, layout.stateTmp, layout.trash].map((path) => readdir(path)))).toEqual([[], [], []])
  })

  it('an asset that was put into place but not yet made visible is served', async () => {
    const { layout } = await restart()
    const prepared = await heldBy(origin!)
    await origin?.stop()
    await rm(layout.map(prepared.ref), { recursive: true })
    const server = await restart()
    expect(await status(server, prepared)).toBe(200)
    expect(await held(server, prepared)).toMatchObject({ live: true, assetSha256: prepared.assetSha256 })
  })

  it('a commit that died before its rename is finished by asking again', async () => {
    const { layout } = await restart()
    const prepared = await prepareAsset(join(folder.path, 'sources'))
    await upload(origin!, prepared)
    await origin?.stop()
    await mkdir(join(layout.tmp, 'commit-dead2'), { recursive: true })
    const server = await restart()
    expect(await commit(server, prepared.ref, prepared.assetSha256)).toMatchObject({ state: 'done' })
    expect(await status(server, prepared)).toBe(200)
  })

  it('a delete that died in the middle leaves nothing visible', async () => {
    const { layout } = await restart()
    const prepared = await heldBy(origin!)
    await origin?.stop()
    await rename(layout.asset(prepared.ref), join(layout.trash, 'gone'))
    const server = await restart()
    expect(await status(server, prepared)).toBe(404)
    await expect(stat(layout.map(prepared.ref))).rejects.toThrow('ENOENT')
    expect(await readdir(layout.trash)).toEqual([])
  })

  it('a delete that died before the files went shows nothing again, and asking again finishes it', async () => {
    const { layout } = await restart()
    const prepared = await heldBy(origin!)
    // A trash that can't be made: the delete stops half-way.
    await rm(layout.trash, { recursive: true })
    await writeFile(layout.trash, '')
    await expect(control(origin!, 'DELETE', assetPath(prepared.ref))).rejects.toMatchObject({ status: 500 })
    expect(await status(origin!, prepared)).toBe(404)
    await rm(layout.trash)
    const server = await restart()
    expect(await status(server, prepared)).toBe(404)
    expect((await held(server, prepared)).live).toBe(false)
    await control(server, 'DELETE', assetPath(prepared.ref))
    await expect(held(server, prepared)).rejects.toMatchObject({ status: 404 })
    await expect(stat(layout.asset(prepared.ref))).rejects.toThrow('ENOENT')
  })

  it('a quarantined asset stays out of sight, and a commit of the same bytes brings it back', async () => {
    const { layout } = await restart()
    const prepared = await heldBy(origin!)
    await rm(layout.live(prepared.ref))
    const server = await restart()
    expect(await status(server, prepared)).toBe(404)
    expect((await held(server, prepared)).live).toBe(false)
    expect(await commit(server, prepared.ref, prepared.assetSha256)).toMatchObject({ state: 'done' })
    expect(await status(server, prepared)).toBe(200)
  })

  it('a damaged folder does not keep the origin down, is counted, and gives way to a new commit', async () => {
    const { layout } = await restart()
    const good = await heldBy(origin!)
    const bad = await heldBy(origin!)
    await origin?.stop()
    await rm(layout.map(bad.ref), { recursive: true })
    await rm(join(layout.asset(bad.ref), 'asset.json'))
    const server = await restart()
    expect(await status(server, good)).toBe(200)
    expect(await status(server, bad)).toBe(404)
    const { admin } = server.app.addresses
    expect(await (await request(`http://${admin.host}:${admin.port}/metrics`)).body.text()).toMatch(
      /millrace_origin_damaged_assets\{.*\} 1/,
    )
    // Nothing is thrown away for a commit that has nothing better.
    expect(await commit(server, bad.ref, bad.assetSha256)).toMatchObject({ state: 'failed', error: { code: 'missing-file' } })
    expect(await readdir(layout.asset(bad.ref))).not.toEqual([])
    await upload(server, bad)
    expect(await commit(server, bad.ref, bad.assetSha256)).toMatchObject({ state: 'done' })
    expect(await status(server, bad)).toBe(200)
  })

  it('an operation of before is unknown', async () => {
    await expect(control(await restart(), 'GET', '/v1/operations/of-before')).rejects.toMatchObject({
      code: 'unknown-operation',
      status: 404,
    })
  })
})

describe('the janitor', () => {
  it('removes staging that nobody writes to, and keeps what is fresh', async () => {
    const server = await restart({ staging: { maxAge: '1s', sweepInterval: '1s' } })
    const prepared = await prepareAsset(join(folder.path, 'sources'))
    await upload(server, prepared)
    // Old mtimes are the source's, not the transfer's.
    await utimes(join(server.layout.staged(prepared.ref), 'poster.jpg'), 0, 0)
    expect(await readdir(server.layout.staged(prepared.ref))).toContain('poster.jpg')
    await until('the staged folder to go', async () => (await readdir(server.layout.stagingRoot)).length === 0)
    await until('its bytes to go', async () => (await readdir(server.layout.trash)).length === 0)
    const logged = server.logs.join('')
    expect(logged).toContain('stale staging removed')
    expect((await control(server, 'GET', '/v1/status', { schema: originStatusSchema })).staged).toBe(0)
  })
})

describe('a full disk', () => {
  it('refuses a commit with a clear answer and keeps what was staged', async () => {
    const server = await restart({ minFreeBytes: '100000TiB' })
    const prepared = await prepareAsset(join(folder.path, 'sources'))
    await upload(server, prepared)
    await expect(commit(server, prepared.ref, prepared.assetSha256)).rejects.toMatchObject({
      code: 'insufficient-storage',
      source: 'disk',
      status: 507,
    })
    expect(await readFile(join(server.layout.staged(prepared.ref), 'poster.jpg'), 'utf8')).toContain('picture')
  })
})
