import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, createServer } from 'node:tls'
import { promisify } from 'node:util'
import { parseConfig } from '@millrace/common/config/load'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadTlsPair, tlsSchema } from '../src/http/tls.js'

const openssl = (...args: string[]) => promisify(execFile)('openssl', args)
const DAY = 24 * 3600 * 1000

describe('a TLS pair', () => {
  let folder: string
  const at = (name: string) => join(folder, name)
  const pair = (cert: string, key: string, now = Date.now()) => loadTlsPair({ cert: at(cert), key: at(key) }, now)

  const selfSigned = (name: string, ...options: string[]) =>
    openssl(
      ...[
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-days',
        '90',
        '-subj',
        `/CN=${name}.test`,
      ],
      ...['-keyout', at(`${name}.key`), '-out', at(`${name}.pem`), ...options],
    )

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-edge-'))
    await selfSigned('edge', '-addext', 'subjectAltName=DNS:edge.test,DNS:*.edge.test,IP:127.0.0.1')
    await selfSigned('other')
    await selfSigned('ca')
    // A leaf that the CA issued, for a chain file.
    await openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=leaf.test', '-keyout', at('leaf.key'), '-out', at('leaf.csr'))
    await openssl('x509', '-req', '-in', at('leaf.csr'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-days', '90', '-out', at('leaf.pem'))
    const [leaf, ca, other] = await Promise.all(['leaf', 'ca', 'other'].map((name) => readFile(at(`${name}.pem`), 'utf8')))
    await writeFile(at('chain.pem'), leaf! + ca!)
    await writeFile(at('reversed.pem'), ca! + leaf!)
    await writeFile(at('stranger.pem'), leaf! + other!)
    await writeFile(at('broken.pem'), leaf!.replace(/\n[A-Za-z0-9+/]{10}/, '\nAAAAAAAAAA'))
    await writeFile(at('empty.pem'), '')
    await openssl('ec', '-in', at('edge.key'), '-aes128', '-passout', 'pass:secret', '-out', at('locked.key'))
    await openssl(
      'req',
      '-x509',
      '-newkey',
      'rsa:512',
      '-nodes',
      '-subj',
      '/CN=weak.test',
      '-keyout',
      at('weak.key'),
      '-out',
      at('weak.pem'),
    )
  })
  afterAll(() => rm(folder, { recursive: true }))

  it.each([
    ['a certificate file that is not there', 'none.pem', 'edge.key', /none\.pem: it can't be read: ENOENT/],
    ['a key file that is not there', 'edge.pem', 'none.key', /none\.key: it can't be read: ENOENT/],
    ['a folder as certificate', '.', 'edge.key', /it can't be read: EISDIR/],
    ['an empty certificate file', 'empty.pem', 'edge.key', /empty\.pem: there is no PEM certificate/],
    ['a key where the certificate should be', 'edge.key', 'edge.key', /edge\.key: there is no PEM certificate/],
    ['a certificate where the key should be', 'edge.pem', 'edge.pem', /edge\.pem: there is no PEM private key/],
    ['a damaged certificate', 'broken.pem', 'leaf.key', /broken\.pem: its certificate 1 can't be parsed/],
    ['a key with a passphrase', 'edge.pem', 'locked.key', /locked\.key: the key has a passphrase/],
    ["another certificate's key", 'edge.pem', 'other.key', /other\.key: it is not the key of the certificate in .*edge\.pem/],
    ['a key of another type', 'edge.pem', 'leaf.key', /leaf\.key: it is not the key/],
    ["a chain whose own certificate isn't first", 'reversed.pem', 'leaf.key', /reversed\.pem: its certificate 2 belongs to the key/],
    ['a key that is too weak to be served', 'weak.pem', 'weak.key', /weak\.pem: it can't be served: .*too small/],
  ])('is refused with %s', async (_what, cert, key, message) => {
    const refused = pair(cert, key)
    await expect(refused).rejects.toMatchObject({ code: 'tls-bad-pair', message: expect.stringMatching(message) })
    await expect(refused).rejects.not.toMatchObject({ message: expect.stringContaining('PRIVATE KEY') })
  })

  it('that has expired, soon will, or is not yet valid is taken with a warning', async () => {
    const { expiresAt, warnings } = await pair('edge.pem', 'edge.key')
    expect(warnings).toEqual([])
    expect(expiresAt - Date.now()).toBeGreaterThan(89 * DAY)
    const warned = async (now: number) => (await pair('edge.pem', 'edge.key', now)).warnings.join()
    expect(await warned(expiresAt)).toMatch(/edge\.pem: the certificate expired on/)
    expect(await warned(expiresAt - DAY)).toMatch(/the certificate expires on/)
    expect(await warned(Date.now() - DAY)).toMatch(/is not valid before/)
  })

  it('with a chain whose second certificate is a stranger is taken with a warning', async () => {
    expect((await pair('stranger.pem', 'leaf.key')).warnings.join()).toMatch(/certificate 2 of the chain did not issue/)
    expect((await pair('chain.pem', 'leaf.key')).warnings).toEqual([])
  })

  it('tells its names, and the fingerprint that a client sees', async () => {
    const loaded = await pair('edge.pem', 'edge.key')
    expect(loaded.names).toEqual(['edge.test', '*.edge.test', '127.0.0.1'])
    expect((await pair('other.pem', 'other.key')).names).toEqual(['other.test'])
    const server = createServer(loaded.pem).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const socket = connect({ port, host: '127.0.0.1', ca: loaded.pem.cert })
    await once(socket, 'secureConnect')
    expect(socket.getPeerCertificate().fingerprint256).toBe(loaded.fingerprint)
    socket.destroy()
    server.close()
  })

  it('has settings that name what is wrong', () => {
    const good = { listen: '0.0.0.0:443', cert: '/c.pem', key: '/k.pem' }
    expect(parseConfig(tlsSchema, { ...good, redirectFrom: '[::]:80' })).toMatchObject({ redirectFrom: { host: '::', port: 80 } })
    expect(() => parseConfig(tlsSchema, { ...good, listen: '443', key: '', ciphers: 'ALL' })).toThrow(/listen[\s\S]*key[\s\S]*ciphers/)
  })
})
