import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { listenAddress } from '@millrace/common/config/units'
import { MillraceError } from '@millrace/common/errors'
import { z } from 'zod'

export const tlsSchema = z.strictObject({
  listen: listenAddress().describe('Public address of HTTPS.'),
  cert: z.string().min(1).describe("PEM file: the server's own certificate first, then the intermediate ones."),
  key: z.string().min(1).describe('PEM file of its private key, without a passphrase.'),
  redirectFrom: listenAddress().optional().describe('Address of an HTTP listener that redirects to HTTPS.'),
})
export type TlsConfig = z.output<typeof tlsSchema>

/** The texts of a certificate's file and its key's. */
export interface TlsPem {
  cert: string
  key: string
}

/** A certificate and its key, checked. */
export interface TlsPair {
  pem: TlsPem
  /** Unix milliseconds. */
  expiresAt: number
  /** Host names and addresses that the certificate is for. */
  names: string[]
  /** SHA-256 of the server's own certificate, as browsers show it. */
  fingerprint: string
  /** What works but should be seen to: sentences for the log. */
  warnings: string[]
}

const SOON_MS = 7 * 24 * 3600 * 1000
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** Reads a pair, once, and checks it. @throws MillraceError `tls-bad-pair` that names the file. */
export async function loadTlsPair(files: { cert: string; key: string }, now: number): Promise<TlsPair> {
  const [cert, key] = await Promise.all([read(files.cert), read(files.key)])
  return checkTlsPair({ cert, key }, files, now)
}

/**
 * Checks that a pair can serve, because the HTTP server itself doesn't say why it cannot. An expired certificate is a warning: an edge that
 * refuses to start helps nobody.
 *
 * @param files that it was read from
 * @throws MillraceError `tls-bad-pair` that names the file.
 */
export function checkTlsPair(pem: TlsPem, files: { cert: string; key: string }, now: number): TlsPair {
  const { cert: certText, key: keyText } = pem
  const chain = certificatesOf(certText, files.cert)
  const key = privateKeyOf(keyText, files.key)
  const own = chain[0]!
  if (!own.checkPrivateKey(key)) {
    const at = chain.findIndex((certificate) => certificate.checkPrivateKey(key))
    throw at > 0
      ? badPair(files.cert, `its certificate ${at + 1} belongs to the key ${files.key}: the server's own must come first`)
      : badPair(files.key, `it is not the key of the certificate in ${files.cert}`)
  }
  try {
    createSecureContext({ cert: certText, key: keyText, minVersion: 'TLSv1.2' })
  } catch (error) {
    throw badPair(files.cert, `it can't be served: ${(error as Error).message}`, error)
  }
  const expiresAt = Date.parse(own.validTo)
  return {
    pem,
    expiresAt,
    names: namesOf(own),
    fingerprint: own.fingerprint256,
    warnings: [...warningsOfTime(own, expiresAt, now), ...warningsOfChain(chain)].map((warning) => `${files.cert}: ${warning}`),
  }
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw badPair(path, `it can't be read: ${(error as Error).message}`, error)
  }
}

function certificatesOf(text: string, path: string): X509Certificate[] {
  const blocks = text.match(PEM_CERTIFICATE) ?? []
  if (blocks.length === 0) throw badPair(path, 'there is no PEM certificate in it')
  return blocks.map((block, i) => {
    try {
      return new X509Certificate(block)
    } catch (error) {
      throw badPair(path, `its certificate ${i + 1} can't be parsed`, error)
    }
  })
}

function privateKeyOf(text: string, path: string): KeyObject {
  try {
    return createPrivateKey(text)
  } catch (error) {
    const encrypted = /ENCRYPTED/.test(text)
    throw badPair(path, encrypted ? 'the key has a passphrase' : 'there is no PEM private key in it', error)
  }
}

function namesOf(certificate: X509Certificate): string[] {
  const alternative = certificate.subjectAltName?.split(', ').map((name) => name.replace(/^(DNS|IP Address):/, ''))
  // RFC 9110 §4.3.4 leaves no room for the common name, but people look for it where there is nothing else.
  return alternative ?? [...(certificate.subject ?? '').matchAll(/^CN=(.+)$/gm)].map((match) => match[1]!)
}

function warningsOfTime(own: X509Certificate, expiresAt: number, now: number): string[] {
  if (expiresAt <= now) return [`the certificate expired on ${own.validTo}`]
  if (Date.parse(own.validFrom) > now) return [`the certificate is not valid before ${own.validFrom}`]
  return expiresAt - now < SOON_MS ? [`the certificate expires on ${own.validTo}`] : []
}

/** RFC 8446 §4.4.2: each following certificate should directly certify the one before it. */
function warningsOfChain(chain: readonly X509Certificate[]): string[] {
  const broken = chain.findIndex((certificate, i) => i > 0 && !chain[i - 1]!.checkIssued(certificate))
  return broken < 0 ? [] : [`certificate ${broken + 1} of the chain did not issue the one before it`]
}

function badPair(path: string, why: string, cause?: unknown): MillraceError {
  return new MillraceError(`${path}: ${why}`, { code: 'tls-bad-pair', source: 'client', retryable: false, cause })
}
