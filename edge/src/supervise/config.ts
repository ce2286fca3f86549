import { z } from 'zod'

export const workersSchema = z
  .number()
  .int()
  .min(1)
  .max(256)
  .default(1)
  .describe('Processes that answer requests, about one per core; with more than one, a further process keeps the cache for all of them.')
