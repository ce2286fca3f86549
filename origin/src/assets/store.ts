import { readFile, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { MPD, MULTIVARIANT_PLAYLIST } from '@millrace/common/contracts/asset'
import { revSchema } from '@millrace/common/contracts/ids'
import type { AssetDetail, AssetPage, HeldAsset, Operation, PullRequest, VideoHoldings } from '@millrace/common/contracts/origin-api'
import { MillraceError } from '@millrace/common/errors'
import { type CommitDeps, commit, recommit } from './commit.js'
import { discard } from './discard.js'
import { namesIn } from './durable.js'
import type { Holding, Inventory } from './inventory.js'
import { type AssetRef, refKey } from './layout.js'
import type { Operations, Work } from './operations.js'
import { hide, unpublish } from './publish.js'
import { pull } from './pull.js'
import type { AssetReader } from './reader.js'
import { refsIn } from './walk.js'

export interface StoreDeps extends CommitDeps {
  inventory: Inventory
  operations: Operations
  reader: AssetReader
  minFreeBytes: number
  /** The account that siblings let us read with. */
  sibling: { user: string; password: string; timeoutMs: number }
  /** Called when something lies in the trash. */
  onTrash: () => void
}

/** Everything the control API can ask of the assets. */
export class AssetStore {
  readonly #deps: StoreDeps

  constructor(deps: StoreDeps) {
    this.#deps = deps
  }

  /** @throws MillraceError `already-committed-differently`, `insufficient-storage`, `busy`; what goes wrong later is in the operation. */
  async commit(ref: AssetRef, assetSha256: string): Promise<Operation> {
    return this.#begin('commit', ref, assetSha256, (work) => this.#commit(ref, assetSha256, work))
  }

  /** The same errors as `commit`. */
  async pull(ref: AssetRef, request: PullRequest): Promise<Operation> {
    const { layout, sibling } = this.#deps
    const { assetSha256, from } = request
    return this.#begin('pull', ref, assetSha256, async (work) => {
      const source = { ...sibling, rsyncUrl: from.rsyncUrl, ensureSpace: (bytes: number) => this.#ensureSpace(bytes) }
      await pull(layout, ref, assetSha256, source, work)
      // The total stands already: transfer and hashing.
      await this.#commit(ref, assetSha256, { ...work, onTotal: () => undefined })
    })
  }

  /** Out of sight first, then out of its place; also when nothing is there. @throws MillraceError `busy` */
  async remove(ref: AssetRef): Promise<void> {
    const { operations, layout, inventory, packager, reader, onTrash } = this.#deps
    await operations.exclusively(ref, async () => {
      // The map folder goes last: an asset without one is taken for a commit that a crash cut short, and would be shown again.
      await hide(layout, ref)
      inventory.remove(ref)
      await discard(layout, layout.asset(ref))
      await unpublish(layout, ref)
      await discard(layout, layout.staged(ref))
      packager.forget(layout.asset(ref))
      reader.forget(ref)
      onTrash()
    })
  }

  async list(after: string | undefined, limit: number): Promise<AssetPage> {
    const { items, next } = this.#deps.inventory.page(after, limit)
    return { items: await Promise.all(items.map((item) => this.#withLive(item))), ...(next !== undefined && { next }) }
  }

  async ofVideo(videoId: string): Promise<VideoHoldings> {
    const { inventory, layout } = this.#deps
    const staged = await namesIn(join(layout.stagingRoot, videoId))
    return {
      videoId,
      assets: await Promise.all(inventory.ofVideo(videoId).map((item) => this.#withLive(item))),
      staged: staged.filter((name) => revSchema.safeParse(name).success),
    }
  }

  async detail(ref: AssetRef): Promise<AssetDetail> {
    const { inventory, reader, layout } = this.#deps
    const held = inventory.get(ref)
    if (!held) throw notHeld(ref)
    const [item, { asset }, hls, dash] = await Promise.all([
      this.#withLive(held),
      reader.read(ref),
      readFile(layout.manifest(ref, MULTIVARIANT_PLAYLIST), 'utf8'),
      readFile(layout.manifest(ref, MPD), 'utf8'),
    ])
    return { ...item, asset, manifests: { hls, dash } }
  }

  async countStaged(): Promise<number> {
    return (await refsIn(this.#deps.layout.stagingRoot)).length
  }

  async disk(): Promise<{ totalBytes: number; freeBytes: number }> {
    const stats = await statfs(this.#deps.layout.root)
    return { totalBytes: stats.blocks * stats.bsize, freeBytes: stats.bavail * stats.bsize }
  }

  async #begin(kind: Operation['kind'], ref: AssetRef, assetSha256: string, work: (work: Work) => Promise<void>): Promise<Operation> {
    const { operations, inventory, layout, onTrash } = this.#deps
    const request = { kind, ref, assetSha256 }
    const held = inventory.get(ref)
    if (held && held.assetSha256 !== assetSha256) throw differs(ref, held.assetSha256)
    if (held && (await this.#deps.reader.isLive(ref))) {
      await operations.exclusively(ref, () => discard(layout, layout.staged(ref)))
      onTrash()
      return operations.done(request, held.bytes)
    }
    await this.#ensureSpace(0)
    return operations.start(request, work)
  }

  async #commit(ref: AssetRef, assetSha256: string, work: Work): Promise<void> {
    const { inventory, layout, packager, reader, onTrash } = this.#deps
    const record = await (inventory.get(ref) ? recommit : commit)(this.#deps, ref, assetSha256, work)
    reader.forget(ref)
    packager.forget(layout.asset(ref))
    inventory.add(ref, record)
    await discard(layout, layout.staged(ref))
    onTrash()
  }

  async #ensureSpace(bytes: number): Promise<void> {
    const { freeBytes } = await this.disk()
    if (freeBytes - bytes < this.#deps.minFreeBytes) throw diskFull(freeBytes - bytes, this.#deps.minFreeBytes)
  }

  async #withLive(holding: Holding): Promise<HeldAsset> {
    return { ...holding, live: await this.#deps.reader.isLive(holding) }
  }
}

function notHeld(ref: AssetRef): MillraceError {
  return new MillraceError(`${refKey(ref)} is not on this origin`, { code: 'not-found', source: 'client', retryable: false, status: 404 })
}

function differs(ref: AssetRef, assetSha256: string): MillraceError {
  return new MillraceError(`${refKey(ref)} is committed with another asset.json (sha256 ${assetSha256})`, {
    code: 'already-committed-differently',
    source: 'client',
    retryable: false,
    status: 409,
  })
}

function diskFull(freeBytes: number, minFreeBytes: number): MillraceError {
  return new MillraceError(`the disk would have ${freeBytes} bytes free, the limit is ${minFreeBytes}`, {
    code: 'insufficient-storage',
    source: 'disk',
    retryable: true,
    status: 507,
  })
}
