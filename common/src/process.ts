import { execa, type Options } from 'execa'

/**
 * Starts a child that the kernel kills when this process dies, also by SIGKILL (prctl PR_SET_PDEATHSIG through util-linux `setpriv`):
 * ffmpeg, rsync and daemons must not outlive their service. The signal goes to the child itself, not to its own children.
 */
export function bound<O extends Options = object>(file: string, args: readonly string[], options?: O) {
  return execa<O>('setpriv', ['--pdeathsig', 'KILL', '--', file, ...args], options)
}
