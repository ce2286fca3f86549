import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from '@millrace/common/testing/ports'
import { startChild } from '../harness/child.js'
import { processTree } from '../harness/proc.js'
import { untilListening } from './listening.js'
import type { CacheOptions } from './nginx.js'
import type { Server } from './server.js'

const PARAMETERS = ['thread_pools=1', 'thread_pool_min=100', 'thread_pool_max=2000', 'timeout_idle=120']

/** As it is told in a report. */
export const VARNISH_FLAGS = `-s malloc,2G, ${PARAMETERS.map((parameter) => `-p ${parameter}`).join(' ')}, no log reader`

/** Varnish in memory. Its jail is off, because the folder belongs to whoever runs the bench. */
export async function startVarnish(options: Omit<CacheOptions, 'tls'>): Promise<Server> {
  const [port, slowPort] = [await freePort(), await freePort()]
  const { folder, origin } = options
  await mkdir(folder, { recursive: true })
  await writeFile(
    join(folder, 'default.vcl'),
    `vcl 4.1;
backend fast { .host = "127.0.0.1"; .port = "${origin.port}"; }
backend slow { .host = "127.0.0.1"; .port = "${origin.slowPort}"; }
sub vcl_recv {
  set req.backend_hint = fast;
  if (local.socket == "slow") { set req.backend_hint = slow; }
}
sub vcl_deliver {
  if (obj.hits > 0) { set resp.http.x-cache = "hit"; } else { set resp.http.x-cache = "miss"; }
}
`,
  )
  const listeners = ['-a', `fast=127.0.0.1:${port}`, '-a', `slow=127.0.0.1:${slowPort}`]
  const parameters = PARAMETERS.flatMap((parameter) => ['-p', parameter])
  const paths = ['-n', join(folder, 'work'), '-f', join(folder, 'default.vcl')]
  const child = await startChild({
    name: 'varnish',
    command: 'varnishd',
    args: ['-F', '-j', 'none', '-T', 'none', '-s', 'malloc,2G', ...paths, ...listeners, ...parameters],
    logFile: join(folder, 'varnish.log'),
    core: options.core,
  })
  await untilListening(child, port, join(folder, 'varnish.log'))
  return { name: 'varnish', port, slowPort, target: (path) => path, pids: () => processTree(child.pid), stop: () => child.stop() }
}
