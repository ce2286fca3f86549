import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { settingsOf } from './settings.js'
import { bytes, duration, listenAddress, secret } from './units.js'

/** Key, form, default. */
function rows(schema: z.ZodType) {
  return settingsOf(schema).map(({ key, form, default: value, required }) => [key, form, required ? 'required' : value])
}

describe('settings', () => {
  it('know units and bounds, also of what may be left out', () => {
    const schema = z.strictObject({
      timeout: duration({ min: '100ms', max: '1h' }).prefault('10s'),
      size: bytes({ min: '1MiB' }),
      rate: bytes().optional(),
      listen: listenAddress(),
      token: secret().optional(),
    })
    expect(rows(schema)).toEqual([
      ['timeout', 'duration, 100ms to 1h', '10s'],
      ['size', 'size, from 1MiB', 'required'],
      ['rate', 'size', undefined],
      ['listen', 'address', 'required'],
      ['token', 'secret', undefined],
    ])
  })

  it('know numbers, choices, lists and maps', () => {
    const schema = z.strictObject({
      workers: z.number().int().min(1).max(256).default(1),
      ratio: z.number().min(0),
      level: z.enum(['info', 'error']).default('info'),
      names: z.array(z.string()).default(['a', 'b']),
      either: z.union([z.literal(false), z.array(listenAddress())]),
      keys: z.record(z.string(), secret()).default({}),
    })
    expect(rows(schema)).toEqual([
      ['workers', 'whole number, 1 to 256', '1'],
      ['ratio', 'number, from 0', 'required'],
      ['level', '`info` · `error`', 'info'],
      ['names', 'list of text', '["a", "b"]'],
      ['either', '`false`, or list of address', 'required'],
      ['keys', 'map to secret', '{}'],
    ])
  })

  it('name the keys of parts, of lists of parts, and of what is transformed or refined', () => {
    const disk = z.strictObject({ path: z.string() })
    const schema = z.strictObject({
      tls: z.strictObject({ cert: z.string() }).optional(),
      disks: z.array(disk).min(1),
      probe: z.union([z.literal(false), z.strictObject({ interval: duration().prefault('5s') })]).prefault({}),
      cache: z
        .strictObject({ path: z.string() })
        .refine(() => true)
        .transform(({ path }) => ({ disks: [path] })),
    })
    expect(rows(schema).map(([key]) => key)).toEqual(['tls.cert', 'disks', 'disks[].path', 'probe', 'probe.interval', 'cache.path'])
  })

  it('carry the outermost description', () => {
    const schema = z.strictObject({
      inner: z.string().describe('inner').optional(),
      both: z.string().describe('inner').default('x').describe('outer'),
      part: z.strictObject({ a: z.string().describe('a') }).describe('a part'),
    })
    expect(settingsOf(schema).map(({ key, about }) => [key, about])).toEqual([
      ['inner', 'inner'],
      ['both', 'outer'],
      ['part', 'a part'],
      ['part.a', 'a'],
    ])
  })
})
