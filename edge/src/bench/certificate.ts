import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** A P-256 certificate for this run. */
export async function makeCertificate(folder: string): Promise<{ cert: string; key: string }> {
  const cert = join(folder, 'cert.pem')
  const key = join(folder, 'key.pem')
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '30']
  await run('openssl', ['req', '-x509', ...kind, ...name, '-keyout', key, '-out', cert])
  return { cert, key }
}

export interface Negotiated {
  /** As nginx writes it. */
  protocol: string
  /** As OpenSSL names it. */
  cipher: string
}

/** What a client of OpenSSL's defaults, as wrk is, agrees on with this port. */
export async function negotiate(port: number): Promise<Negotiated> {
  const running = run('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-brief'], { timeout: 10_000 })
  // It ends with its input.
  running.child.stdin?.end()
  const { stdout, stderr } = await running
  const text = stdout + stderr
  const protocol = /^Protocol version: (\S+)$/m.exec(text)?.[1]
  const cipher = /^Ciphersuite: (\S+)$/m.exec(text)?.[1]
  if (!protocol || !cipher) throw new Error(`no TLS on port ${port}:\n${text}`)
  return { protocol, cipher }
}
