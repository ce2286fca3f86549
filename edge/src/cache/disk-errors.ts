/** What an operation on a cache disk was for; a metrics label. */
export const DISK_OPERATIONS = ['open', 'look', 'create', 'write', 'commit', 'delete', 'checkpoint', 'scan', 'probe'] as const
export type DiskOperation = (typeof DISK_OPERATIONS)[number]

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

export function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT'
}

/** No space, no inodes, no quota: what is there stays readable, and there is room again when something is deleted. */
export function isFull(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/** An error of the disk or its folders, rather than of this process (no descriptors, no memory) or of its caller. */
export function isDiskError(error: unknown): boolean {
  const code = codeOf(error)
  return code !== undefined && /^E[A-Z0-9]+$/.test(code) && !['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR', 'EBADF'].includes(code)
}
