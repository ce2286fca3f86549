import { readFileSync } from 'node:fs'
import { z } from 'zod'

const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/
const MILLISECONDS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const SIZE = /^(\d+(?:\.\d+)?)(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)$/
const BYTES: Record<string, number> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 }

/** `250ms`, `10s`, `5m`, `6h`, `1d` → milliseconds. */
export function parseDuration(text: string): number | undefined {
  const match = DURATION.exec(text)
  return match ? Math.round(Number(match[1]) * MILLISECONDS[match[2]!]!) : undefined
}

/** `512KiB`, `50GiB`, `2TB` → bytes. */
export function parseBytes(text: string): number | undefined {
  const match = SIZE.exec(text)
  return match ? Math.round(Number(match[1]) * BYTES[match[2]!]!) : undefined
}

/** A config value like `10s`; the parsed value is in milliseconds. Bounds are written in the same units. */
export function duration(bounds: { min?: string; max?: string } = {}) {
  return unit('a duration such as 250ms, 10s, 5m, 6h or 1d', parseDuration, bounds).meta({ unit: 'duration', ...bounds })
}

/** A config value like `50GiB`; the parsed value is in bytes. */
export function bytes(bounds: { min?: string; max?: string } = {}) {
  return unit('a size such as 512KiB, 64MiB or 50GiB', parseBytes, bounds).meta({ unit: 'size', ...bounds })
}

function unit(what: string, parse: (text: string) => number | undefined, bounds: { min?: string; max?: string }) {
  const min = bounds.min === undefined ? Number.NEGATIVE_INFINITY : parse(bounds.min)!
  const max = bounds.max === undefined ? Number.POSITIVE_INFINITY : parse(bounds.max)!
  return z.string().transform((text, context) => {
    const value = parse(text)
    if (value === undefined) {
      context.addIssue({ code: 'custom', message: `is not ${what}` })
      return z.NEVER
    }
    if (value < min || value > max) {
      context.addIssue({ code: 'custom', message: `must be between ${bounds.min ?? 'any'} and ${bounds.max ?? 'any'}` })
      return z.NEVER
    }
    return value
  })
}

/** A secret, literal or `file:/path` (systemd credentials); at least 16 characters. Wrapped, so that a log of the config hides it. */
export class Secret {
  readonly #value: string
  constructor(value: string) {
    this.#value = value
  }
  reveal(): string {
    return this.#value
  }
  toJSON(): string {
    return '[secret]'
  }
  toString(): string {
    return '[secret]'
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[secret]'
  }
}

export function secret() {
  const schema = z.string().transform((text, context) => {
    let value = text
    if (text.startsWith('file:')) {
      try {
        value = readFileSync(text.slice(5), 'utf8').trim()
      } catch (error) {
        context.addIssue({ code: 'custom', message: `cannot be read: ${(error as Error).message}` })
        return z.NEVER
      }
    }
    if (value.length < 16) {
      context.addIssue({ code: 'custom', message: 'must have at least 16 characters' })
      return z.NEVER
    }
    return new Secret(value)
  })
  return schema.meta({ unit: 'secret' })
}

/** `127.0.0.1:8080` or `[::1]:8080` or `0.0.0.0:80` → host and port. */
export function listenAddress() {
  const schema = z.string().transform((text, context) => {
    const match = /^(?:\[([0-9a-fA-F:]+)\]|([0-9.]+|localhost)):(\d{1,5})$/.exec(text)
    const port = Number(match?.[3])
    if (!match || port > 65_535) {
      context.addIssue({ code: 'custom', message: 'is not an address such as 127.0.0.1:8080 or [::]:8080' })
      return z.NEVER
    }
    return { host: match[1] ?? match[2]!, port }
  })
  return schema.meta({ unit: 'address' })
}
export interface ListenAddress {
  host: string
  port: number
}
