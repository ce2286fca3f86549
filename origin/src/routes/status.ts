import { originStatusSchema } from '@millrace/common/contracts/origin-api'
import { VERSION } from '@millrace/common/version'
import type { Routes } from './deps.js'

/** What the CMS asks to place and to judge this origin. */
export const statusRoutes: Routes =
  ({ id, store, inventory, packager }) =>
  async (app) => {
    app.get('/v1/status', { schema: { response: { 200: originStatusSchema } } }, async () => ({
      id,
      version: VERSION,
      packager: packager.name,
      assets: inventory.size,
      staged: await store.countStaged(),
      disk: await store.disk(),
      draining: false,
    }))
  }
