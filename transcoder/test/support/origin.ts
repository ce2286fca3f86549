import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Asset, assetSchema } from '@millrace/common/contracts/asset'
import type { Operation } from '@millrace/common/contracts/origin-api'
import type { OriginTarget } from '@millrace/common/contracts/transcode-job'
import { bound } from '@millrace/common/process'
import { freePort } from '@millrace/common/testing/ports'
import { until } from '@millrace/common/testing/until'

export const RSYNC_USER = 'transcoder'
export const RSYNC_SECRET = 'an-rsync-secret-of-tests'
export const CONTROL_TOKEN = 'a-control-token-of-tests'

/** A real rsync daemon with the origins' rules, and just enough of the control API to commit by checking the files. */
export interface TestOrigin {
  target: OriginTarget
  root: string
  /** `<videoId>/<rev>` of each, sorted. */
  committed: () => Promise<string[]>
  staged: () => Promise<string[]>
  asset: (videoId: string, rev: string) => Promise<Asset>
  assetFolder: (videoId: string, rev: string) => string
  /** Run before each commit; how many times an operation is forgotten when asked for. */
  hooks: { onCommit?: (folder: string) => Promise<void>; forgetOperations?: number }
  stop: () => Promise<void>
}

export async function startOrigin(id: string): Promise<TestOrigin> {
  const root = await mkdtemp(join(tmpdir(), 'millrace-origin-'))
  for (const folder of ['staging', 'assets']) await mkdir(join(root, folder))
  const daemon = await startDaemon(root)
  const hooks: TestOrigin['hooks'] = {}
  const operations = new Map<string, Operation>()
  const server = createServer((request, response) => {
    control(root, operations, hooks, request, response).catch((error: Error) => answer(response, 500, { title: error.message }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    target: {
      id,
      controlUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      rsyncUrl: `rsync://127.0.0.1:${daemon.port}`,
    },
    root,
    hooks,
    committed: () => revisions(join(root, 'assets')),
    staged: () => revisions(join(root, 'staging')),
    assetFolder: (videoId, rev) => join(root, 'assets', videoId, rev),
    asset: async (videoId, rev) => assetSchema.parse(JSON.parse(await readFile(join(root, 'assets', videoId, rev, 'asset.json'), 'utf8'))),
    stop: async () => {
      daemon.child.kill('SIGTERM')
      await daemon.child
      await new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections()
      })
      await rm(root, { recursive: true, force: true })
    },
  }
}

async function startDaemon(root: string) {
  const port = await freePort()
  const secrets = join(root, 'secrets')
  await writeFile(secrets, `${RSYNC_USER}:${RSYNC_SECRET}\n`, { mode: 0o600 })
  const asUser = process.getuid?.() === 0 ? ['uid = root', 'gid = root'] : []
  const config = [
    ...['use chroot = no', 'munge symlinks = yes', ...asUser, `pid file = ${join(root, 'pid')}`],
    ...['[staging]', `path = ${join(root, 'staging')}`, 'read only = no', 'write only = yes', 'list = no'],
    ...[
      `auth users = ${RSYNC_USER}`,
      `secrets file = ${secrets}`,
      'refuse options = * !times !mkpath !partial !timeout !bwlimit !ignore-times !info',
    ],
  ]
  await writeFile(join(root, 'rsyncd.conf'), `${config.join('\n')}\n`)
  const child = bound(
    'rsync',
    ['--daemon', '--no-detach', `--config=${join(root, 'rsyncd.conf')}`, `--port=${port}`, '--address=127.0.0.1'],
    { stdio: 'ignore', reject: false },
  )
  await until('the rsync daemon', () => readFile(join(root, 'pid'), 'utf8').then((pid) => pid.trim() !== ''))
  return { child, port }
}

async function control(
  root: string,
  operations: Map<string, Operation>,
  hooks: TestOrigin['hooks'],
  request: IncomingMessage,
  response: ServerResponse,
) {
  if (request.headers.authorization !== `Bearer ${CONTROL_TOKEN}`) return answer(response, 401, problem('unauthorized'))
  const [, , kind, first, second] = (request.url ?? '').split('/')
  if (kind === 'operations') {
    if (hooks.forgetOperations) {
      hooks.forgetOperations--
      operations.clear()
    }
    const operation = operations.get(first!)
    return operation ? answer(response, 200, operation) : answer(response, 404, problem('unknown-operation'))
  }
  const [videoId, rev] = [first!, second!]
  const [staging, asset] = [join(root, 'staging', videoId, rev), join(root, 'assets', videoId, rev)]
  if (request.method === 'DELETE') {
    await rm(staging, { recursive: true, force: true })
    await rm(asset, { recursive: true, force: true })
    return response.writeHead(204).end()
  }
  const body = JSON.parse(await textOf(request)) as { assetSha256: string }
  const operation: Operation = {
    id: `op-${operations.size + 1}`,
    kind: 'commit',
    videoId,
    rev,
    state: 'running',
    bytesDone: 0,
    bytesTotal: 0,
  }
  operations.set(operation.id, operation)
  answer(response, 202, operation)
  const settled = await (hooks.onCommit?.(staging) ?? Promise.resolve())
    .then(() => commit(staging, asset, body.assetSha256))
    .catch((error: Error) => problem('missing-file', error.message))
  operations.set(operation.id, settled ? { ...operation, state: 'failed', error: settled } : { ...operation, state: 'done' })
  return undefined
}

async function commit(staging: string, asset: string, assetSha256: string) {
  const present = await readFile(join(asset, 'asset.json')).catch(() => undefined)
  if (present && sha256(present) === assetSha256) return undefined
  const manifest = await readFile(join(staging, 'asset.json'))
  if (sha256(manifest) !== assetSha256) return problem('bad-asset-json')
  const { files } = assetSchema.parse(JSON.parse(manifest.toString()))
  for (const file of files) {
    const bytes = await readFile(join(staging, file.name))
    if (bytes.length !== file.bytes) return problem('wrong-size', file.name)
    if (sha256(bytes) !== file.sha256) return problem('wrong-hash', file.name)
  }
  await mkdir(join(asset, '..'), { recursive: true })
  await rename(staging, asset)
  return undefined
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

function problem(code: string, message = code) {
  return { code, source: 'origin' as const, retryable: false, message, title: message }
}

function answer(response: ServerResponse, status: number, body: object) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += chunk
  return text
}

/** `<videoId>/<rev>` of every folder that holds a file. */
async function revisions(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
  return [...new Set(files.map((file) => file.split('/').slice(0, 2).join('/')))].sort()
}
