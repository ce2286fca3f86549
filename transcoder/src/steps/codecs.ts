import { MillraceError } from '@millrace/common/errors'

/** The bytes in ffprobe's `-show_data` dump: lines of `00000000: 0164 000d ffe1 …  text`. */
export function bytesOfDump(dump: string): number[] {
  return dump.split('\n').flatMap((line) => {
    const match = /^[0-9a-f]{8}: ((?:[0-9a-f]{2,4} ?)+)/.exec(line)
    const digits = match?.[1]?.replaceAll(' ', '') ?? ''
    return digits.match(/../g)?.map((byte) => Number.parseInt(byte, 16)) ?? []
  })
}

/**
 * RFC 6381 §3.3: `avc1.` and profile, constraints and level in hex: bytes 1 to 3 of the AVCDecoderConfigurationRecord
 * (ISO 14496-15 §5.3.3.1).
 */
export function avcCodecs(configurationRecord: number[]): string {
  const [version, ...rest] = configurationRecord.slice(0, 4)
  if (version !== 1 || rest.length < 3) {
    throw new MillraceError('the encoder wrote no AVC configuration', { code: 'bad-output', source: 'encoder', retryable: false })
  }
  return `avc1.${rest.map((byte) => byte.toString(16).padStart(2, '0')).join('')}`
}

/** MPEG-4 audio, object type 2: AAC LC, the only one we make. */
export const AAC_LC = 'mp4a.40.2'
