import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '@millrace/common/testing/until'
import { execa } from 'execa'
import { request } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type PreparedAsset, prepareAsset } from './prepare-asset.js'
import { commit, rsync, SIBLING, stagingUrl, startOrigin, type TestOrigin, TRANSCODER, tempFolder, upload } from './start-origin.js'

let folder: Awaited<ReturnType<typeof tempFolder>>
let origin: TestOrigin
let prepared: PreparedAsset

beforeAll(async () => {
  folder = await tempFolder()
  origin = await startOrigin(folder.path)
})
afterAll(async () => {
  await origin?.stop()
  await folder?.remove()
})
beforeEach(async () => {
  prepared = await prepareAsset(join(folder.path, 'sources'))
})

const module = (name: string, user = TRANSCODER.user) => `${origin.rsyncUrl.replace('//', `//${user}@`)}/${name}`

describe('the rsync daemon refuses', () => {
  it('a wrong secret, an unknown user, and nobody at all', async () => {
    const args = (to: string) => ['-rt', '--timeout=20', `${prepared.folder}/`, to]
    expect((await rsync(args(stagingUrl(origin, prepared.ref)), 'not the secret at all')).stderr).toContain('auth failed')
    expect((await rsync(args(module('staging/', 'stranger')), TRANSCODER.secret)).stderr).toContain('auth failed')
    expect((await rsync(args(`${origin.rsyncUrl}/staging/`), '')).exitCode).not.toBe(0)
    expect((await rsync([module('assets/', SIBLING.user)], 'not the secret at all')).stderr).toContain('auth failed')
    await expect(stat(origin.layout.staged(prepared.ref))).rejects.toThrow('ENOENT')
  })

  it('a transcoder that wants to read: staging, assets, or the list of modules', async () => {
    await upload(origin, prepared)
    const to = join(folder.path, 'stolen')
    expect((await rsync(['-rt', stagingUrl(origin, prepared.ref), to], TRANSCODER.secret)).stderr).toContain('write only')
    expect((await rsync([module('staging/')], TRANSCODER.secret)).stderr).toContain('write only')
    expect((await rsync(['-rt', module('assets/'), to], TRANSCODER.secret)).stderr).toContain('auth failed')
    expect((await rsync([`${origin.rsyncUrl}/`], '')).stdout.trim()).toBe('')
    await expect(stat(to)).rejects.toThrow('ENOENT')
  })

  it('a sibling that wants to write', async () => {
    const args = ['-rt', '--mkpath', `${prepared.folder}/`]
    expect((await rsync([...args, module('assets/x/', SIBLING.user)], SIBLING.secret)).stderr).toContain('read only')
    expect((await rsync([...args, module('staging/x/', SIBLING.user)], SIBLING.secret)).stderr).toContain('auth failed')
  })

  it.each([
    '--inplace',
    '--append',
    '--append-verify',
    '--partial-dir=.partial',
    '--delete',
    '--delete-after',
    '--links',
    '--hard-links',
    '--devices',
    '--owner',
    '--backup',
    '--temp-dir=/tmp',
    '--link-dest=/assets',
    '--copy-dest=/assets',
    '--super',
    '--remove-source-files',
  ])('%s', async (option) => {
    const args = ['-rt', '--mkpath', option, `${prepared.folder}/`, stagingUrl(origin, prepared.ref)]
    expect((await rsync(args, TRANSCODER.secret)).stderr).toContain('refuse')
    await expect(stat(origin.layout.staged(prepared.ref))).rejects.toThrow('ENOENT')
    expect(await readdir(prepared.folder)).toContain('asset.json')
  })

  it('to leave its folder by ".." or by an absolute path', async () => {
    const outside = (await readdir(folder.path)).sort()
    const root = (await readdir(origin.layout.root)).sort()
    for (const path of ['staging/../escape/', 'staging/../../escape/', 'staging//../../../escape/']) {
      await rsync(['-rt', '--mkpath', `${prepared.folder}/`, module(path)], TRANSCODER.secret)
    }
    expect((await readdir(folder.path)).sort()).toEqual(outside)
    expect((await readdir(origin.layout.root)).sort()).toEqual(root)
  })

  it('to follow a link that somebody put into staging', async () => {
    const target = join(folder.path, 'target')
    await mkdir(target)
    await mkdir(join(origin.layout.stagingRoot, prepared.ref.videoId), { recursive: true })
    await symlink(target, origin.layout.staged(prepared.ref))
    await rsync(['-rt', `${prepared.folder}/`, stagingUrl(origin, prepared.ref)], TRANSCODER.secret)
    expect(await readdir(target)).toEqual([])
  })
})

describe('the rsync daemon', () => {
  it('leaves links that are sent without a word of refusal out of staging', async () => {
    await symlink('/etc/passwd', join(prepared.folder, 'link.mp4'))
    await upload(origin, prepared)
    expect(await readdir(origin.layout.staged(prepared.ref))).not.toContain('link.mp4')
  })

  it('takes what a transcoder sends, with progress and a limit, and goes on from a partial file', async () => {
    const { ref } = prepared
    const staged = origin.layout.staged(ref)
    const source = join(prepared.folder, 'video-360p.mp4')
    await writeFile(source, Buffer.alloc(3_000_000, 1))
    const args = ['-rt', '--mkpath', '--partial', '--timeout=20', '--info=progress2']
    const to = stagingUrl(origin, ref)
    const broken = execa('rsync', [...args, '--bwlimit=1000', `${prepared.folder}/`, to], {
      env: { RSYNC_PASSWORD: TRANSCODER.secret },
      reject: false,
    })
    await until('bytes to arrive', async () => {
      const name = (await readdir(staged)).find((entry) => entry.startsWith('.video-360p'))
      return name !== undefined && (await stat(join(staged, name))).size > 500_000
    })
    broken.kill('SIGTERM')
    await broken
    const partial = await until('the partial file', async () => (await stat(join(staged, 'video-360p.mp4'))).size)
    const { exitCode, stdout } = await rsync([...args, '--stats', `${prepared.folder}/`, to], TRANSCODER.secret)
    expect(exitCode).toBe(0)
    expect(Number(/Matched data: ([\d,]+)/.exec(stdout)![1]!.replaceAll(',', ''))).toBeGreaterThan(partial / 2)
    expect((await readFile(join(staged, 'video-360p.mp4'))).equals(await readFile(source))).toBe(true)
  })

  it('gives a sibling committed assets, and nothing of staging or temp', async () => {
    await upload(origin, prepared)
    await commit(origin, prepared.ref, prepared.assetSha256)
    const listed = await rsync(['-r', module('assets/', SIBLING.user)], SIBLING.secret)
    expect(listed.stdout).toContain(`${prepared.ref.videoId}/${prepared.ref.rev}/asset.json`)
    expect(listed.stdout).not.toMatch(/commit-|gone-|staging/)
  })

  it('keeps its secrets to its owner', async () => {
    expect((await stat(join(origin.layout.rsyncd, 'rsyncd.secrets'))).mode & 0o777).toBe(0o600)
    expect(await readFile(join(origin.layout.rsyncd, 'rsyncd.conf'), 'utf8')).not.toContain(TRANSCODER.secret)
    expect(origin.logs.join('')).not.toContain(TRANSCODER.secret)
  })

  it('is started again when it dies, and readyz tells meanwhile', async () => {
    const { admin, rsync: daemon } = origin.app.addresses
    const ready = async () => {
      const answer = await request(`http://${admin.host}:${admin.port}/readyz`)
      return { status: answer.statusCode, text: await answer.body.text() }
    }
    expect((await ready()).status).toBe(200)
    const { stdout } = await execa('pgrep', ['-f', `rsync --daemon .*--port=${daemon.port}$`])
    process.kill(Number(stdout.trim().split('\n')[0]), 'SIGKILL')
    await until('readyz to tell', async () => {
      const { status, text } = await ready()
      return status === 503 && text.includes('rsyncd')
    })
    await until('readyz to be well', async () => (await ready()).status === 200)
    await upload(origin, prepared)
  })
})
