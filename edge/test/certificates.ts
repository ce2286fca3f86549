import { execFile } from 'node:child_process'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Makes or replaces `cert.pem` and `key.pem` of a folder, each at once as certbot's hooks do. */
export async function certify(folder: string, name: string): Promise<{ cert: string; key: string }> {
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30']
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  await run('openssl', ['req', '-x509', ...kind, ...subject, '-keyout', `${key}.new`, '-out', `${cert}.new`])
  await rename(`${key}.new`, key)
  await rename(`${cert}.new`, cert)
  return { cert, key }
}
