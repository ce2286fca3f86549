import { MillraceError } from '@millrace/common/errors'

/** A file that can't be packaged: the media is at fault, and asking again doesn't help. */
export function badMedia(message: string, cause?: unknown): MillraceError {
  return new MillraceError(message, { code: 'bad-media', source: 'source-media', retryable: false, cause })
}

/** One box of ISO 14496-12 inside a buffer; `payload` comes after the header. */
export interface Box {
  type: string
  /** The whole box with its header. */
  bytes: Buffer
  payload: Buffer
}

const HEADER = 8
/** Children in one container: real ones have a few; a crafted one could have millions of empty boxes. */
const MAX_BOXES = 1024

/**
 * Size and type of the box that starts at `at` (ISO 14496-12 §4.2), judged against the `room` bytes that its container has left.
 *
 * @throws MillraceError `bad-media` for a box that is larger than its container or smaller than its header.
 */
export function boxHeader(buffer: Buffer, at: number, room: number): { type: string; header: number; size: number } {
  if (buffer.length - at < HEADER) throw badMedia('a box header is cut off')
  const type = buffer.toString('latin1', at + 4, at + 8)
  let size = buffer.readUInt32BE(at)
  let header = HEADER
  if (size === 1) {
    if (buffer.length - at < 16) throw badMedia(`the header of box '${printable(type)}' is cut off`)
    size = buffer.readUInt32BE(at + 8) * 2 ** 32 + buffer.readUInt32BE(at + 12)
    header = 16
  } else if (size === 0) {
    size = room
  }
  if (size < header || size > room) throw badMedia(`box '${printable(type)}' claims ${size} bytes where ${room} are left`)
  return { type, header, size }
}

/** The boxes that `buffer` consists of. */
export function* boxesIn(buffer: Buffer): Generator<Box> {
  let count = 0
  for (let at = 0; at < buffer.length; ) {
    if (++count > MAX_BOXES) throw badMedia(`more than ${MAX_BOXES} boxes in one container`)
    const { type, header, size } = boxHeader(buffer, at, buffer.length - at)
    yield { type, bytes: buffer.subarray(at, at + size), payload: buffer.subarray(at + header, at + size) }
    at += size
  }
}

/** The first box at the end of a path such as `mdia/minf/stbl`. */
export function findBox(buffer: Buffer, path: string): Box | undefined {
  const [type, ...rest] = path.split('/')
  for (const box of boxesIn(buffer)) {
    if (box.type === type) return rest.length === 0 ? box : findBox(box.payload, rest.join('/'))
  }
  return undefined
}

export function requireBox(buffer: Buffer, path: string): Box {
  const box = findBox(buffer, path)
  if (!box) throw badMedia(`no box '${path}'`)
  return box
}

/** A box made of its type and the bytes of its payload. */
export function box(type: string, ...payload: readonly Uint8Array[]): Buffer {
  const header = Buffer.alloc(HEADER)
  header.writeUInt32BE(payload.reduce((sum, part) => sum + part.length, HEADER))
  header.write(type, 4, 'latin1')
  return Buffer.concat([header, ...payload])
}

/** Big-endian 32-bit words; negative ones in two's complement. */
export function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  values.forEach((value, i) => {
    bytes.writeInt32BE(value | 0, 4 * i)
  })
  return bytes
}

/** A non-negative integer below 2^53 as two 32-bit words. */
export function wide(value: number): [number, number] {
  return [Math.floor(value / 2 ** 32), value % 2 ** 32]
}

function printable(type: string): string {
  return type.replace(/[^\x20-\x7e]/g, '?')
}
