import { createHook } from 'node:async_hooks'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { until } from '@millrace/common/testing/until'
import { beforeEach, describe, expect, it } from 'vitest'
import { type Answer, VIDEO } from './edge.js'
import { serveResource } from './resource.js'
import { scene } from './scene.js'

const REQUESTS = 50
const CODINGS: [string, (body: Buffer) => Buffer][] = [
  ['br', brotliDecompressSync],
  ['gzip', gunzipSync],
]

/** How many streams of zlib are made in this process, the edge's own, while `work` runs. */
async function compressions(work: () => Promise<unknown>): Promise<number> {
  let made = 0
  const hook = createHook({
    init: (_id, type) => {
      if (type === 'ZLIB') made++
    },
  }).enable()
  try {
    await work()
  } finally {
    hook.disable()
  }
  return made
}

describe.each([
  ['an MPD', 'main.mpd', 'application/dash+xml'],
  ['an MPD whose origin names no type', 'main.mpd', undefined],
  ['a playlist', 'main.m3u8', 'application/vnd.apple.mpegurl'],
])('%s', (_what, name, type) => {
  const at = scene()
  const path = `/o1/files/${VIDEO}/r1/${name}`
  const body = Buffer.from(`<MPD>${'<S t="0" d="360000"/>\n'.repeat(400)}</MPD>`)
  beforeEach(() => at.o1.behave(serveResource({ body, headers: { etag: '"m"', ...(type !== undefined && { 'content-type': type }) } })))
  const ask = (encoding: string) => at.edge.get(path, { 'accept-encoding': encoding })
  const untilCoded = (encoding: string) =>
    until(`an answer in ${encoding}`, async () => {
      const answer = await ask(encoding)
      return answer.headers['content-encoding'] !== undefined && answer
    })
  const untilInRam = () =>
    until('an answer from RAM', async () => {
      await ask('identity')
      return (await at.edge.count('answers_total', { name: 'tier', value: 'ram' })) > 0
    })

  it.each(CODINGS)('asked for by 50 at once is compressed once, in %s', async (coding, decode) => {
    await untilInRam()
    const asking = () => Promise.all(Array.from({ length: REQUESTS }, () => ask(coding)))
    const answers: Answer[] = []
    // While it is made, and when it is there.
    const made = await compressions(async () => {
      for (const { status } of await asking()) expect(status).toBe(200)
      answers.push(await untilCoded(coding), ...(await asking()))
    })
    expect([made, at.o1.requests.length]).toEqual([1, 1])
    for (const answer of answers) {
      expect([answer.headers['content-encoding'], answer.headers.etag]).toEqual([coding, `"m-${coding}"`])
      expect(decode(answer.body).equals(body)).toBe(true)
    }
  })

  it('is shorter in either coding, and says that it varies', async () => {
    for (const [coding, decode] of CODINGS) {
      const answer = await untilCoded(coding)
      expect(decode(answer.body).equals(body)).toBe(true)
      expect(answer.body.length).toBeLessThan(body.length / 5)
      expect(answer.headers).toMatchObject({
        'content-type': type ?? 'application/dash+xml',
        'content-encoding': coding,
        vary: 'accept-encoding',
      })
    }
    const identity = await ask('identity')
    expect([identity.headers['content-encoding'], identity.headers.vary, identity.body.equals(body)]).toEqual([
      undefined,
      'accept-encoding',
      true,
    ])
  })
})
