import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from '@millrace/common/testing/ports'
import { type Child, startChild } from '../harness/child.js'
import { processTree } from '../harness/proc.js'
import { untilListening } from './listening.js'
import type { Server } from './server.js'

export interface NginxOrigin {
  port: number
  /** The same files at 1 MB/s for each connection. */
  slowPort: number
  stop: () => Promise<unknown>
}

/** Serves files as fast as nginx can; the same origin for every server that is measured. */
export async function startNginxOrigin(options: { folder: string; root: string; core: number }): Promise<NginxOrigin> {
  const [port, slowPort] = [await freePort(), await freePort()]
  const files = `root ${options.root}; add_header cache-control "public, max-age=31536000, immutable";`
  const conf = nginxConf(
    options.folder,
    `
    open_file_cache max=10000; open_file_cache_valid 600s;
    server { listen 127.0.0.1:${port} backlog=4096; ${files} }
    server { listen 127.0.0.1:${slowPort} backlog=4096; ${files} limit_rate 1m; }`,
  )
  const child = await startNginx('origin', options.folder, conf, options.core)
  await untilListening(child, port, join(options.folder, 'nginx.log'))
  return { port, slowPort, stop: () => child.stop() }
}

export interface CacheOptions {
  folder: string
  core: number
  origin: { port: number; slowPort: number }
  tls?: { cert: string; key: string; protocol: string; cipher: string }
}

/** As it is told in a report. */
export const NGINX_FLAGS =
  '1 worker, proxy_cache on disk with keys_zone 64m and proxy_cache_lock, sendfile, tcp_nopush, tcp_nodelay, open_file_cache, ' +
  'access_log off, keepalive to the origin and to clients'

/** nginx proxy_cache, set up for this job as its documentation advises. */
export async function startNginxCache(options: CacheOptions): Promise<Server> {
  const [port, slowPort, tlsPort] = [await freePort(), await freePort(), await freePort()]
  const { origin, tls } = options
  const proxy = (upstream: string) => `location / {
      proxy_pass http://${upstream}; proxy_http_version 1.1; proxy_set_header connection "";
      proxy_cache media; proxy_cache_key $request_uri$server_port; proxy_cache_valid 200 1d;
      proxy_cache_lock on; proxy_cache_lock_timeout 30s; proxy_cache_lock_age 30s;
      proxy_cache_use_stale error timeout updating; add_header x-cache $upstream_cache_status;
    }`
  const secure = tls
    ? `server { listen 127.0.0.1:${tlsPort} ssl backlog=4096; ssl_certificate ${tls.cert}; ssl_certificate_key ${tls.key};
      ssl_protocols ${tls.protocol}; ssl_session_cache shared:tls:10m; ssl_prefer_server_ciphers on;
      ${tls.protocol === 'TLSv1.3' ? `ssl_conf_command Ciphersuites ${tls.cipher};` : `ssl_ciphers ${tls.cipher};`}
      ${proxy('fast').replace('$server_port', '')} }`
    : ''
  const conf = nginxConf(
    options.folder,
    `
    open_file_cache max=10000 inactive=600s; open_file_cache_valid 600s;
    proxy_cache_path ${options.folder}/cache levels=1:2 keys_zone=media:64m max_size=20g inactive=1d use_temp_path=off;
    upstream fast { server 127.0.0.1:${origin.port}; keepalive 64; keepalive_requests 1000000; }
    upstream slow { server 127.0.0.1:${origin.slowPort}; keepalive 64; keepalive_requests 1000000; }
    server { listen 127.0.0.1:${port} backlog=4096; ${proxy('fast').replace('$server_port', '')} }
    server { listen 127.0.0.1:${slowPort} backlog=4096; ${proxy('slow')} }
    ${secure}`,
  )
  const child = await startNginx('nginx', options.folder, conf, options.core)
  await untilListening(child, port, join(options.folder, 'nginx.log'))
  return {
    name: 'nginx',
    port,
    slowPort,
    ...(tls ? { tlsPort } : {}),
    target: (path) => path,
    pids: () => processTree(child.pid),
    stop: () => child.stop(),
  }
}

function nginxConf(folder: string, http: string): string {
  const temps = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name}_temp;`).join(' ')
  return `daemon off; worker_processes 1; worker_rlimit_nofile 16384; pid ${folder}/nginx.pid; error_log ${folder}/nginx.log warn;
  ${process.getuid?.() === 0 ? 'user root;' : ''}
  events { worker_connections 8192; multi_accept on; }
  http {
    types { video/mp4 m4s mp4; application/vnd.apple.mpegurl m3u8; }
    access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; server_tokens off;
    keepalive_timeout 120s; keepalive_requests 100000000; ${temps}
    ${http}
  }\n`
}

async function startNginx(name: string, folder: string, conf: string, core: number): Promise<Child> {
  await mkdir(folder, { recursive: true })
  const file = join(folder, 'nginx.conf')
  await writeFile(file, conf)
  const args = ['-p', folder, '-c', file, '-e', join(folder, 'nginx.log')]
  return startChild({ name, command: 'nginx', args, logFile: join(folder, 'nginx.log'), core })
}
