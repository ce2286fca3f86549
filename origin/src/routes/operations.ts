import { operationSchema } from '@millrace/common/contracts/origin-api'
import { MillraceError } from '@millrace/common/errors'
import { z } from 'zod'
import type { Routes } from './deps.js'

/** Where a commit or a pull stands. */
export const operationRoutes: Routes =
  ({ operations }) =>
  async (app) => {
    app.get(
      '/v1/operations/:id',
      { schema: { params: z.object({ id: z.string().max(100) }), response: { 200: operationSchema } } },
      async (request) => {
        const operation = operations.get(request.params.id)
        if (operation) return operation
        throw new MillraceError('no such operation; after a restart of the origin, start it again', {
          code: 'unknown-operation',
          source: 'client',
          retryable: false,
          status: 404,
        })
      },
    )
  }
