/** What workers and keeper ask before they serve or store. One number counts all purges; it survives restarts. */
export interface PurgeView {
  /** The number of the latest purge. */
  readonly generation: number
  /** Whether a purge later than the entry's generation covers its key. */
  covers(entry: { key: string; generation: number }): boolean
  /** Whether the video is deleted for good: its URLs answer 410. */
  blocks(videoId: string): boolean
}
