import type { NodeId } from '@millrace/common/contracts/ids'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import type { Inventory } from '../assets/inventory.js'
import type { Operations } from '../assets/operations.js'
import type { AssetStore } from '../assets/store.js'
import type { Packager } from '../packager/packager.js'

/** What the routes work with. */
export interface RouteDeps {
  id: NodeId
  store: AssetStore
  operations: Operations
  inventory: Inventory
  packager: Packager
}

export type Routes = (deps: RouteDeps) => FastifyPluginAsyncZod
