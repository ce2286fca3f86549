import { parseRoute, verifyRoute } from '@millrace/common/contracts/route'
import { describe, expect, it } from 'vitest'
import { pathwaysFor, playbackAnswer, routeFor } from './answer.js'
import { orderEdges, steeringManifest } from './steering.js'

const videoId = '01hzy3v8k2m4n6p8q0r2s4t6v8'
const video = { videoId, rev: 'r3', title: 'A film', durationSeconds: 60, posterName: undefined, holders: ['o3', 'o1'] }
const edges = ['e1', 'e2', 'e3'].map((id) => ({ id, url: `http://${id}.test`, adminUrl: `http://${id}.test:1` }))
const key = Buffer.from('millrace-test-key-0123456789abcdef')

describe('a route', () => {
  it('names the holders in order', () => {
    expect(routeFor(video, undefined, 1_000_000)).toBe('o3.o1')
  })

  it('is signed for this revision, for six hours at least, and is the same within ten minutes', () => {
    const route = routeFor(video, { kid: 'k1', key }, 1_800_000_100)
    const keys = new Map([['k1', key]])
    expect(verifyRoute(parseRoute(route)!, videoId, 'r3', keys, 1_800_000_100 + 6 * 3600 - 1)).toBe('valid')
    expect(verifyRoute(parseRoute(route)!, videoId, 'r4', keys, 1_800_000_100)).toBe('bad-mac')
    expect(routeFor(video, { kid: 'k1', key }, 1_800_000_200)).toBe(route)
  })

  it('names sixteen holders at most', () => {
    const many = { ...video, holders: Array.from({ length: 20 }, (_, i) => `o${i}`) }
    expect(parseRoute(routeFor(many, undefined, 0))?.origins).toHaveLength(16)
  })
})

describe('a playback answer', () => {
  it('has the steered manifests, and each edge alone', () => {
    expect(playbackAnswer(video, 'o3.o1', edges.slice(0, 1), 'https://cms.test')).toEqual({
      version: 1,
      videoId,
      rev: 'r3',
      title: 'A film',
      durationSeconds: 60,
      route: 'o3.o1',
      steered: { hls: `https://cms.test/play/${videoId}/main.m3u8`, dash: `https://cms.test/play/${videoId}/main.mpd` },
      edges: [
        {
          id: 'e1',
          hls: `http://e1.test/o3.o1/files/${videoId}/r3/main.m3u8`,
          dash: `http://e1.test/o3.o1/files/${videoId}/r3/main.mpd`,
        },
      ],
    })
  })

  it('has pathways whose base is the folder of the manifests', () => {
    expect(pathwaysFor(video, 'o3.o1', edges)[1]).toEqual({ id: 'e2', baseUrl: `http://e2.test/o3.o1/files/${videoId}/r3/` })
  })
})

describe('the order of edges', () => {
  const order = (id: string, healthy: (edge: string) => boolean) => orderEdges(id, edges, healthy).map((edge) => edge.id)

  it('leaves dead ones out and keeps the order of the others', () => {
    const all = order(videoId, () => true)
    expect(order(videoId, (id) => id !== all[0])).toEqual(all.slice(1))
  })

  it('lists all when none is known to be alive', () => {
    expect(order(videoId, () => false)).toEqual(order(videoId, () => true))
  })

  it('is the same for one video and spreads many', () => {
    const firsts = Array.from({ length: 600 }, (_, i) => order(`video${i}`, () => true)[0])
    for (const edge of edges) expect(firsts.filter((id) => id === edge.id).length).toBeGreaterThan(150)
  })

  it('goes to players in seconds', () => {
    expect(steeringManifest(edges, 10_000)).toEqual({ VERSION: 1, TTL: 10, 'PATHWAY-PRIORITY': ['e1', 'e2', 'e3'] })
  })
})
