import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Frame, FrameDecoder, FrameWriter, MAX_HEAD_BYTES, MAX_TAIL_BYTES } from './wire.js'

function piece(...frames: { head: object; tail?: Uint8Array }[]): Buffer {
  const writer = new FrameWriter()
  for (const { head, tail } of frames) writer.push(head, tail)
  return writer.take()
}

function announced(head: number, tail: number, rest = ''): Buffer {
  const prefix = Buffer.alloc(8)
  prefix.writeUInt32BE(head, 0)
  prefix.writeUInt32BE(tail, 4)
  return Buffer.concat([prefix, Buffer.from(rest)])
}

describe('frames between keeper and worker', () => {
  it('that announce too much are refused before any of it is held', () => {
    expect(() => new FrameDecoder().push(announced(MAX_HEAD_BYTES + 1, 0))).toThrowError(/bad-frame|head of/)
    expect(() => new FrameDecoder().push(announced(2, MAX_TAIL_BYTES + 1))).toThrowError(/tail of/)
  })

  it('whose head is not JSON are refused', () => {
    expect(() => new FrameDecoder().push(announced(3, 0, '{]}'))).toThrowError(expect.objectContaining({ code: 'bad-frame' }))
    expect(() => new FrameDecoder().push(announced(0, 0))).toThrowError(expect.objectContaining({ code: 'bad-frame' }))
  })

  it('that the other side would refuse are not written', () => {
    const writer = new FrameWriter()
    expect(() => writer.push({ text: 'x'.repeat(MAX_HEAD_BYTES) })).toThrowError(expect.objectContaining({ code: 'bad-frame' }))
    expect(() => writer.push({}, new Uint8Array(MAX_TAIL_BYTES + 1))).toThrowError(expect.objectContaining({ code: 'bad-frame' }))
    expect(writer.empty).toBe(true)
  })

  it('of any nonsense give frames or an error, and never hold more than one frame', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), (chunks) => {
        const decoder = new FrameDecoder()
        try {
          for (const chunk of chunks) decoder.push(Buffer.from(chunk))
        } catch (error) {
          expect(error).toMatchObject({ code: 'bad-frame' })
        }
        expect(decoder.held).toBeLessThanOrEqual(8 + MAX_HEAD_BYTES + MAX_TAIL_BYTES)
      }),
    )
  })

  it('come out as they went in, however the stream is chunked', () => {
    const head = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue())
    const frames = fc.array(fc.record({ head, tail: fc.uint8Array({ maxLength: 300 }) }), { maxLength: 8 })
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }), (sent, cuts) => {
        const bytes = piece(...sent)
        const decoder = new FrameDecoder()
        const got: Frame[] = []
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const end = Math.min(at + cuts[turn % cuts.length]!, bytes.length)
          got.push(...decoder.push(Buffer.from(bytes.subarray(at, end))))
          at = end
        }
        expect(got.map((frame) => frame.head)).toEqual(sent.map((frame) => JSON.parse(JSON.stringify(frame.head))))
        expect(got.map((frame) => Buffer.from(frame.tail))).toEqual(sent.map((frame) => Buffer.from(frame.tail)))
        expect(decoder.held).toBe(0)
      }),
    )
  })

  it('of the largest size pass in small chunks in linear time', () => {
    const head = { text: 'é'.repeat((MAX_HEAD_BYTES - 20) / 2) }
    const bytes = piece({ head, tail: new Uint8Array(MAX_TAIL_BYTES).fill(7) })
    const decoder = new FrameDecoder()
    const got: Frame[] = []
    for (let at = 0; at < bytes.length; at += 100) got.push(...decoder.push(bytes.subarray(at, at + 100)))
    expect(got).toHaveLength(1)
    expect(got[0]!.head).toEqual(head)
    expect(got[0]!.tail).toHaveLength(MAX_TAIL_BYTES)
  })
})
