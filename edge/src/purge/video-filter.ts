/** Characters at the end of a video id that are looked at: the random part of a ULID, 5 bits each. */
const LOOKED_AT = 4
const ID_LENGTH = 26

/**
 * Says of most videos at once that no purge names them, without cutting the id out of a key and hashing it. One bit for each end that an
 * id can have (128 KiB); bits are only ever set, so an answer of false is always right.
 */
export class VideoFilter {
  readonly #bits = new Uint32Array(1 << 15)

  add(videoId: string): void {
    const hash = hashAt(videoId, 0)
    this.#bits[hash >>> 5]! |= 1 << (hash & 31)
  }

  /** @param start where the id begins in the key */
  mayHave(key: string, start: number): boolean {
    const hash = hashAt(key, start)
    return (this.#bits[hash >>> 5]! & (1 << (hash & 31))) !== 0
  }
}

/** 20 bits. */
function hashAt(text: string, start: number): number {
  let hash = 0
  for (let i = start + ID_LENGTH - LOOKED_AT; i < start + ID_LENGTH; i++) {
    const code = text.charCodeAt(i)
    // Digits and letters to 0 to 35; what a ULID has lies within 5 bits but for a few letters, which share.
    hash = (hash << 5) | ((code < 0x3a ? code - 0x30 : code - 0x57) & 31)
  }
  return hash
}
