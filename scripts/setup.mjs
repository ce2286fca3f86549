#!/usr/bin/env node
// Everything `npm run demo`, `npm test` and the edge's bench and soak need, from a fresh clone: system packages, node_modules, the build.
// Plain JavaScript without dependencies, since it runs before there are any. What is there already is skipped.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = fileURLToPath(new URL('..', import.meta.url))
const stamps = join(root, '.setup')

/** Debian package ← a file of it that proves it is there. */
const DEMO_PACKAGES = [
  { name: 'ffmpeg', present: () => onPath('ffmpeg') && onPath('ffprobe') },
  { name: 'redis-server', present: () => onPath('redis-server') },
  { name: 'rsync', present: () => onPath('rsync') },
  { name: 'util-linux', present: () => onPath('setpriv') },
]
const TEST_PACKAGES = [
  ...DEMO_PACKAGES,
  { name: 'chromium', present: () => onPath('chromium') },
  { name: 'postgresql', present: () => postgresInstalled() },
]
const SOAK_PACKAGES = [{ name: 'util-linux', present: () => onPath('setpriv') }]
/** Peers to measure against. Where they can't be installed, the bench says what it could not judge. */
const PEER_PACKAGES = [
  { name: 'nginx', present: () => onPath('nginx') },
  { name: 'varnish', present: () => onPath('varnishd') },
  { name: 'wrk', present: () => onPath('wrk') },
  { name: 'openssl', present: () => onPath('openssl') },
]
const PURPOSES = {
  demo: { needs: DEMO_PACKAGES },
  test: { needs: TEST_PACKAGES },
  bench: { needs: SOAK_PACKAGES, wants: PEER_PACKAGES },
  soak: { needs: SOAK_PACKAGES },
}

function main() {
  const { values } = parseArgs({ options: { for: { type: 'string', default: 'test' }, help: { type: 'boolean', short: 'h' } } })
  const purpose = PURPOSES[values.for]
  if (values.help || !purpose) {
    console.log(
      'usage: node scripts/setup.mjs [--for demo|test|bench|soak]\n\nInstalls missing Debian packages (root or sudo), node_modules, and builds. A second run skips what is there.',
    )
    process.exit(purpose ? 0 : 2)
  }
  checkNode()
  installPackages(missingOf(purpose.needs), fail)
  installPackages(missingOf(purpose.wants ?? []), say)
  mkdirSync(stamps, { recursive: true })
  once('node_modules', lockStamp, 'npm packages', () => run('npm', ['ci', '--no-audit', '--no-fund']))
  once('build', sourceStamp, 'build', () => run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-b']))
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major !== 20) fail(`Millrace runs on Node.js 20 (the edge's server library has a binary for it); this is ${process.version}.`)
  if (minor < 15) fail(`Millrace needs Node.js 20.15 or later (zlib.crc32); this is ${process.version}.`)
}

function missingOf(packages) {
  return packages.filter((entry) => !entry.present()).map((entry) => entry.name)
}

/** `giveUp` is told what to do by hand where this can't be done here. */
function installPackages(missing, giveUp) {
  if (missing.length === 0) return
  const command = `apt-get install -y --no-install-recommends ${missing.join(' ')}`
  const advice = `Missing on this machine: ${missing.join(', ')}.\nInstall it with:\n\n  sudo apt-get update && sudo ${command}\n\nand run this command again.`
  if (!onPath('apt-get')) return giveUp(`${advice}\n(This system has no apt-get: use its own package manager.)`)
  const prefix =
    process.getuid?.() === 0 ? [] : onPath('sudo') && (process.stdin.isTTY || quiet('sudo', ['-n', 'true'])) ? ['sudo'] : undefined
  if (!prefix) return giveUp(advice)
  say(`installing Debian packages: ${missing.join(' ')}`)
  // RUNLEVEL=1: a package that brings a daemon must not start it here.
  const env = ['env', 'DEBIAN_FRONTEND=noninteractive', 'RUNLEVEL=1']
  const apt = (...args) =>
    spawnSync([...prefix, ...env, 'apt-get'][0], [...prefix, ...env, 'apt-get', ...args].slice(1), {
      stdio: ['inherit', 'ignore', 'inherit'],
    })
  apt('update', '-qq')
  if (apt('install', '-y', '-qq', '--no-install-recommends', ...missing).status !== 0) giveUp(advice)
}

/** Runs `work` unless what it reads and makes is as its last success left it. */
function once(name, stamp, title, work) {
  const file = join(stamps, name)
  if (existsSync(file) && readFileSync(file, 'utf8') === stamp()) return
  say(title)
  const began = Date.now()
  work()
  writeFileSync(file, stamp())
  say(`${title}: ${((Date.now() - began) / 1000).toFixed(1)} s`)
}

function lockStamp() {
  const installed = existsSync(join(root, 'node_modules/.package-lock.json'))
  return digest([`${installed}`, process.version, readFileSync(join(root, 'package-lock.json'), 'utf8')])
}

/** Paths, sizes and times of everything that the build reads, and whether its output is there. */
function sourceStamp() {
  const lines = [lockStamp()]
  for (const workspace of JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).workspaces) {
    const source = join(root, workspace, 'src')
    if (!existsSync(source)) continue
    lines.push(`${workspace} ${existsSync(join(root, workspace, 'dist'))}`)
    for (const name of readdirSync(source, { recursive: true }).sort()) {
      if (!name.endsWith('.ts')) continue
      const stat = statSync(join(source, name))
      lines.push(`${workspace}/${name} ${stat.size} ${stat.mtimeMs}`)
    }
  }
  for (const name of readdirSync(root)) if (name.startsWith('tsconfig')) lines.push(readFileSync(join(root, name), 'utf8'))
  return digest(lines)
}

function run(command, args) {
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  if (result.status !== 0) fail(`failed: ${command} ${args.join(' ')}`)
}

function quiet(command, args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}

function onPath(command) {
  // Debian keeps daemons in sbin, which a user's PATH may lack.
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders.some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function postgresInstalled() {
  const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql') : []
  return versions.some((version) => existsSync(`/usr/lib/postgresql/${version}/bin/postgres`))
}

function digest(parts) {
  return createHash('sha256').update(parts.join('\n')).digest('hex')
}

function say(text) {
  console.log(`setup: ${text}`)
}

function fail(text) {
  console.error(`\n${text}`)
  process.exit(1)
}

main()
