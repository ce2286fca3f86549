/** Reads one body, in any place, at the reader's own pace. Whoever got it closes it, once. */
export interface BodyReader {
  /**
   * The next bytes of [`at`, `end`), at least one; waits when they are still to come.
   *
   * @param buffer what may be used to hold them: at least `BLOCK_BYTES` long, and the caller's until the returned view is no longer
   *   needed. The view may also be memory that the reader owns; nobody writes to it.
   * @returns an empty view only at the body's clean end, which comes before `end` only where the length was unknown.
   * @throws MillraceError `body-broken` when the bytes will never come: source `origin`, or `disk` when a block can't be read or its
   *   checksum is wrong (the entry is then already dropped), or `internal` when the keeper's process went away.
   */
  read(buffer: Buffer, at: number, end: number): Promise<Uint8Array>
  close(): void
}

/** A checksum covers this much of a stored body; the last block may be shorter. */
export const BLOCK_BYTES = 1 << 18

export const BODY_BROKEN = 'body-broken'
