import { bytes, duration } from '@millrace/common/config/units'
import { z } from 'zod'
import { FORWARDED_BY, parseCidr } from '../http/client-address.js'

/**
 * What this uWebSockets.js build can do in process. It has no hook for new connections and its timeouts are fixed (about 10 s for an
 * idle connection, an unfinished head, a client that stops reading): connection counts and rates belong to the packet filter.
 */
export const limitsSchema = z.strictObject({
  requestsPerSecond: z
    .number()
    .positive()
    .max(1_000_000)
    .optional()
    .describe(
      'Requests per second that one client (an IPv4 address, an IPv6 /64) may make for long; further ones get 429. Off when left out. ' +
        'Each worker counts by itself with the full rate, and a connection stays with its worker.',
    ),
  requestBurst: z
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .default(200)
    .describe('Requests that a client may make at once before `requestsPerSecond` holds.'),
  maxRequests: z
    .number()
    .int()
    .min(1)
    .default(20_000)
    .describe('Requests at once in each worker; further ones get 503. How many connections there are is for the packet filter to limit.'),
  transferRate: bytes({ min: '1KiB' }).optional().describe('Bytes per second of one transfer, after its burst. Off when left out.'),
  transferBurst: bytes().prefault('4MiB').describe("Bytes of a transfer that go unpaced: enough for a player's start."),
  minRate: bytes({ min: '1B' })
    .optional()
    .describe(
      'A client that reads fewer bytes per second over `minRateWindow` is cut; time that its transfer waits for an origin does not count. ' +
        'Off when left out. A client that reads nothing at all is cut by the server after about 10 s, which cannot be set.',
    ),
  minRateWindow: duration({ min: '1s', max: '10m' })
    .prefault('30s')
    .describe('How long a client is watched before it is judged, the first time as each later time.'),
})
export type Limits = z.output<typeof limitsSchema>

const trustedPeer = z.string().refine((text) => parseCidr(text) !== undefined, 'is not an address or a range such as 10.0.0.0/8')

export const clientsSchema = z
  .strictObject({
    trustedPeers: z
      .array(trustedPeer)
      .max(256)
      .default([])
      .describe('Fronts whose word is taken for who the client is: addresses or ranges such as 10.0.0.0/8 or 2001:db8::/32.'),
    forwarded: z
      .enum(FORWARDED_BY)
      .default('none')
      .describe(
        'How they say it: `forwarded` (RFC 7239), `x-forwarded-for`, or `proxy-v2` (a PROXY protocol head on each connection). ' +
          'The client is then the last address in the chain that is not of a trusted peer.',
      ),
  })
  .refine((clients) => clients.forwarded === 'none' || clients.trustedPeers.length > 0, {
    message: 'is needed when clients.forwarded is set',
    path: ['trustedPeers'],
  })
export type Clients = z.output<typeof clientsSchema>
