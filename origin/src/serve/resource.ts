import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { AssetFile } from '@millrace/common/contracts/asset'
import { contentType, type MediaPath } from '@millrace/common/contracts/media-url'
import type { Layout } from '../assets/layout.js'
import type { AssetReader, AssetView } from '../assets/reader.js'
import type { Packager } from '../packager/packager.js'
import type { Body } from './body.js'

/** What a data path stands for: the whole body with its headers. */
export interface Resource {
  contentType: string
  length: number
  /** Strong, with its quotes; the same on every origin. */
  etag: string
  body: Body
}

export interface ResourceDeps {
  layout: Layout
  reader: AssetReader
  packager: Packager
  allowMp4: boolean
}

/** @returns undefined for what isn't there, isn't live or isn't served. */
export async function findResource(deps: ResourceDeps, path: MediaPath): Promise<Resource | undefined> {
  const view = await deps.reader.readLive(path)
  if (!view) return undefined
  switch (path.kind) {
    case 'init':
    case 'fragment': {
      const built = await deps.packager.build(view.folder, view.asset, path)
      return built && { ...built, body: built }
    }
    case 'file':
      return view.manifests.has(path.name) ? await manifest(deps.layout, path) : storedFile(deps, view, path)
    case 'hls':
      // Names of nginx-vod-module's own HLS; only the module answers them.
      return undefined
  }
}

async function manifest(layout: Layout, path: MediaPath & { kind: 'file' }): Promise<Resource> {
  const text = await readFile(layout.manifest(path, path.name))
  const etag = `"${createHash('sha256').update(text).digest('hex').slice(0, 32)}"`
  return { contentType: contentType(path), length: text.length, etag, body: { head: text } }
}

function storedFile(deps: ResourceDeps, view: AssetView, path: MediaPath & { kind: 'file' }): Resource | undefined {
  const file = view.files.get(path.name)
  if (!file || !mayServe(file, deps.allowMp4)) return undefined
  return {
    contentType: contentType(path),
    length: file.bytes,
    etag: `"${file.sha256.slice(0, 32)}"`,
    body: { head: Buffer.alloc(0), file: { path: join(view.folder, file.name), ranges: [{ offset: 0, length: file.bytes }] } },
  }
}

const SERVED = /\.(vtt|jpg|png|webp)$/

function mayServe(file: AssetFile, allowMp4: boolean): boolean {
  return SERVED.test(file.name) || (allowMp4 && file.name.endsWith('.mp4'))
}
