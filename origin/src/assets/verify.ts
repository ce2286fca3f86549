import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { ASSET_JSON, type Asset, type AssetFile, assetSchema } from '@millrace/common/contracts/asset'
import { MillraceError } from '@millrace/common/errors'
import { errorCode } from './durable.js'
import { type AssetRef, refKey } from './layout.js'

const CHUNK = 2 ** 20
/** Twelve hours of two-second segments in a full ladder need about 5 MiB. */
const MAX_ASSET_JSON = 32 * 2 ** 20

/**
 * Reads and judges an `asset.json`: its sha256 binds it to the request, its ids to the place where it lies.
 *
 * @throws MillraceError `missing-file`, `not-a-regular-file`, `wrong-hash`, `bad-asset-json`
 */
export async function readAssetJson(folder: string, ref: AssetRef, assetSha256: string): Promise<Asset> {
  const { text, sha256 } = await readText(folder)
  if (sha256 !== assetSha256) throw wrongHash(ASSET_JSON, sha256, assetSha256)
  return parseAssetJson(text, ref)
}

/** The same without a wanted sha256: for what was committed before. */
export async function readOwnAssetJson(folder: string, ref: AssetRef): Promise<{ asset: Asset; sha256: string; jsonBytes: number }> {
  const { text, sha256 } = await readText(folder)
  return { asset: parseAssetJson(text, ref), sha256, jsonBytes: text.length }
}

async function readText(folder: string): Promise<{ text: Buffer; sha256: string }> {
  const file = await openRegular(folder, ASSET_JSON)
  try {
    const { size } = await file.stat()
    if (size > MAX_ASSET_JSON) throw badAssetJson(`is ${size} bytes long`)
    const text = await file.readFile()
    return { text, sha256: createHash('sha256').update(text).digest('hex') }
  } finally {
    await file.close()
  }
}

function parseAssetJson(text: Buffer, ref: AssetRef): Asset {
  let json: unknown
  try {
    json = JSON.parse(text.toString('utf8'))
  } catch (error) {
    throw badAssetJson('is not JSON', error)
  }
  const parsed = assetSchema.safeParse(json)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw badAssetJson(`breaks its contract at ${issue?.path.join('.') || 'the root'}: ${issue?.message}`)
  }
  const asset = parsed.data
  if (refKey(asset) !== refKey(ref)) throw badAssetJson(`is that of ${refKey(asset)}, not of ${refKey(ref)}`)
  if (asset.files.some((file) => file.name === ASSET_JSON)) throw badAssetJson('lists itself')
  return asset
}

export interface VerifyOptions {
  /** Told of every hashed chunk. */
  onBytes: (bytes: number) => void
  signal: AbortSignal
}

/**
 * Makes a file read-only, hashes it and sees it to the disk.
 *
 * @throws MillraceError `missing-file`, `not-a-regular-file`, `wrong-size`, `wrong-hash`, each naming the file
 */
export async function verifyFile(folder: string, file: AssetFile, options: VerifyOptions): Promise<void> {
  const handle = await openRegular(folder, file.name)
  try {
    await handle.chmod(0o444)
    const { size } = await handle.stat()
    if (size !== file.bytes) throw wrongSize(file.name, size, file.bytes)
    const sha256 = await hashFile(handle, options)
    if (sha256 !== file.sha256) throw wrongHash(file.name, sha256, file.sha256)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function hashFile(handle: FileHandle, options: VerifyOptions): Promise<string> {
  const hash = createHash('sha256')
  const buffer = Buffer.allocUnsafe(CHUNK)
  for (let position = 0; ; ) {
    options.signal.throwIfAborted()
    const { bytesRead } = await handle.read(buffer, 0, CHUNK, position)
    if (bytesRead === 0) return hash.digest('hex')
    hash.update(buffer.subarray(0, bytesRead))
    position += bytesRead
    options.onBytes(bytesRead)
  }
}

/** Never follows a link, never waits on a pipe. */
async function openRegular(folder: string, name: string): Promise<FileHandle> {
  let handle: FileHandle
  try {
    handle = await open(join(folder, name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ENOENT') throw missingFile(name)
    if (code === 'ELOOP' || code === 'ENXIO') throw notRegular(name)
    throw error
  }
  let regular = false
  try {
    regular = (await handle.stat()).isFile()
  } finally {
    if (!regular) await handle.close()
  }
  if (!regular) throw notRegular(name)
  return handle
}

export function missingFile(name: string): MillraceError {
  return new MillraceError(`${name} is not in the staged folder`, { code: 'missing-file', source: 'transfer', retryable: true })
}

export function notRegular(name: string): MillraceError {
  return new MillraceError(`${name} is not a regular file`, { code: 'not-a-regular-file', source: 'client', retryable: false })
}

function wrongSize(name: string, actual: number, wanted: number): MillraceError {
  const message = `${name} has ${actual} bytes, ${ASSET_JSON} says ${wanted}`
  return new MillraceError(message, { code: 'wrong-size', source: 'transfer', retryable: true })
}

function wrongHash(name: string, actual: string, wanted: string): MillraceError {
  return new MillraceError(`${name} has the sha256 ${actual}, wanted is ${wanted}`, {
    code: 'wrong-hash',
    source: 'transfer',
    retryable: true,
  })
}

function badAssetJson(what: string, cause?: unknown): MillraceError {
  return new MillraceError(`${ASSET_JSON} ${what}`, { code: 'bad-asset-json', source: 'client', retryable: false, cause })
}
