import { z } from 'zod'

export const ROLES = ['keeper', 'worker'] as const
export type Role = (typeof ROLES)[number]

export const addressSchema = z.object({ host: z.string(), port: z.number().int() })

/** What a child needs to begin. Sent over its control channel, so that nothing of it shows in a process list. */
export const startSchema = z.object({
  role: z.enum(ROLES),
  /** `keeper`, `worker-1` …: the place it fills, the same after a restart. */
  name: z.string(),
  /** Of this process alone: by this name workers greet their keeper. */
  id: z.string(),
  /** Of workers, from 1. */
  number: z.number().int(),
  /** Where the keeper listens. */
  socketPath: z.string(),
  /** Where the first worker listens, told to the others: with port 0 in the config all must have the one that was found. */
  address: addressSchema.optional(),
  /** Worker processes that live, for the keeper. */
  workers: z.array(z.string()),
  /** What the service gave to the supervisor: the text of its config, say. */
  config: z.unknown(),
})
export type StartMessage = z.infer<typeof startSchema>

/** A child's answer to its start, given when it does its work. */
export const readySchema = z.object({ address: addressSchema.optional() })
