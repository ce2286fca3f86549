import { resolve } from 'node:path'
import { bytes, duration } from '@millrace/common/config/units'
import { z } from 'zod'

const path = z.string().min(1)
const size = bytes({ min: '1MiB' })

const diskSchema = z.strictObject({
  path: path.describe('Folder of the disk cache, of this edge alone; made when missing.'),
  size: size.describe('What the cache may take there, headers and running fills included.'),
  mounted: z
    .boolean()
    .prefault(false)
    .describe('The path is a mount point; while nothing is mounted there the disk is out, and nothing is written below it.'),
})

/** `cache`: either `disks`, or `path` and `size` of the only one. The output has `disks` in any case. */
export const cacheSchema = z
  .strictObject({
    disks: z
      .array(diskSchema)
      .min(1)
      .max(32)
      .refine((disks) => new Set(disks.map((disk) => resolve(disk.path))).size === disks.length, 'two disks have one path')
      .optional()
      .describe('One for each disk; objects are spread over them by size.'),
    path: path.optional().describe('Short for the path of the only disk.'),
    size: size.optional().describe('Short for the size of the only disk.'),
    maxObject: bytes({ min: '1KiB' }).prefault('64MiB').describe('Larger responses are passed through unstored.'),
    checkpoint: duration({ min: '100ms', max: '1h' })
      .prefault('30s')
      .describe('How often the order of use is written to the disks: a crash loses no more of it.'),
    verify: duration({ max: '1d' })
      .prefault('10s')
      .describe('For how long a block that was checked and whose file has not changed is not checked again; 0s checks at every read.'),
  })
  .transform((cache, context) => {
    const { disks, path, size, ...rest } = cache
    const problem = (key: string, message: string) => {
      context.addIssue({ code: 'custom', message, path: [key] })
      return z.NEVER
    }
    if (disks && (path !== undefined || size !== undefined)) return problem('disks', 'stands beside path or size: use one or the other')
    if (!disks && path === undefined) return problem('disks', 'is missing, or path and size of the only disk')
    if (!disks && size === undefined) return problem('size', 'is missing')
    const all = disks ?? [{ path: path!, size: size!, mounted: false }]
    if (all.some((disk) => rest.maxObject > disk.size)) return problem('maxObject', 'must not exceed the size of any disk')
    return { disks: all, ...rest }
  })

/** `ram`: the tier above the disks. */
export const ramSchema = z.strictObject({
  size: bytes().prefault('256MiB').describe('What bodies in memory may take, all workers together; 0B keeps none.'),
  maxObject: bytes().prefault('8MiB').describe('Larger objects are read from disk each time.'),
})

export type CacheConfig = z.output<typeof cacheSchema>
export type RamConfig = z.output<typeof ramSchema>
