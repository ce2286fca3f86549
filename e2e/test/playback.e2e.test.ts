import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '@millrace/common/testing/until'
import type { Browser } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { launchBrowser, type Watched, watch } from '../support/browser.js'
import { makeClip } from '../support/clips.js'
import { type Fixture, startFixture, untilState, upload } from '../support/fixture.js'

const FRAME = 1 / 25

let fixture: Fixture
let browser: Browser
let id: string
let watched: Watched | undefined

beforeAll(async () => {
  fixture = await startFixture()
  const subtitles = join(fixture.clips, 'clip.srt')
  await writeFile(subtitles, '1\n00:00:00,500 --> 00:01:00,000\nA subtitle\n')
  const clip = await makeClip(fixture.clips, 'clip.mp4', { seconds: 44, size: '640x480', audio: ['eng', 'fra'], subtitles })
  const video = await upload(fixture, clip)
  id = video.id
  browser = await launchBrowser()
  await untilState(fixture, id, ['ready'])
})
afterEach(async () => {
  await watched?.page.close()
  watched = undefined
})
afterAll(async () => {
  await browser?.close()
  await fixture?.close()
})

async function play(player: 'hls' | 'dash', more = ''): Promise<Watched> {
  watched = await watch(browser, `${fixture.stack.cmsUrl}/?v=${id}&player=${player}&autoplay=1${more}`)
  return watched
}

const options = (page: Watched['page'], select: string) =>
  page.$$eval(`${select} option`, (entries) => entries.map((entry) => entry.textContent))

describe.each(['hls', 'dash'] as const)('%s in a browser, from the edges', (player) => {
  it('plays: time advances, no fatal error, picture and sound both start at 0 within one frame', async () => {
    const view = await play(player)
    await view.playsPast(3)
    const starts = await view.bufferStarts()
    expect(Object.keys(starts).sort()).toEqual(['audio', 'video'])
    for (const [type, start] of Object.entries(starts)) expect(start, type).toBeLessThanOrEqual(FRAME)
    expect(await view.problem()).toBe('')
    expect(view.problems).toEqual([])
  })

  it('lists the audio and subtitle tracks, and switches to each', async () => {
    const view = await play(player)
    await view.playsPast(0.5)
    await view.page.waitForFunction(() => document.querySelectorAll('#audio option').length === 2)
    expect(await options(view.page, '#audio')).toEqual(['English', expect.stringMatching(/Fran|French/)])
    await view.page.waitForFunction(() => document.querySelectorAll('#text option').length === 2)
    await view.page.selectOption('#text', { index: 1 })
    await view.page.waitForFunction(() =>
      [...document.querySelector('video')!.textTracks].some((track) => track.mode !== 'disabled' && (track.cues?.length ?? 0) > 0),
    )
    await view.page.selectOption('#audio', { index: 1 })
    const before = await view.currentTime()
    await view.playsPast(before + 2)
    expect(await view.problem()).toBe('')
  })

  it('changes the picture size when the rung is switched by hand', async () => {
    const view = await play(player)
    await view.playsPast(0.5)
    await view.page.waitForFunction(() => document.querySelectorAll('#quality option').length >= 4)
    const widths = new Map([
      ['480p', 640],
      ['240p', 320],
      ['360p', 480],
    ])
    for (const [label, width] of widths) {
      const option = (await options(view.page, '#quality')).findIndex((text) => text?.startsWith(label))
      await view.page.selectOption('#quality', { index: option })
      await view.showsWidth(width)
    }
    expect(await view.problem()).toBe('')
  })

  it('carries on from the other edge when the edge being played is killed', async () => {
    const view = await play(player)
    await view.playsPast(1)
    const host = (await view.segmentHosts()).at(-1)!
    const dead = fixture.stack.edges.find((edge) => new URL(edge.url).host === host)!
    const alive = fixture.stack.edges.find((edge) => edge !== dead)!
    await fixture.stack.service(dead.id).kill()
    try {
      // Beyond what is buffered: only the other edge can have it.
      await view.seek(30)
      await view.playsPast(33)
      expect((await view.segmentHosts()).at(-1)).toBe(new URL(alive.url).host)
      expect(await view.problem()).toBe('')
      expect(view.problems).toEqual([])
    } finally {
      await fixture.stack.service(dead.id).start()
      await until('both edges to be offered again', async () => (await fixture.api.playback(id)).edges.length === 2)
    }
  })
})

it('the page lists videos with live progress, and adds one from a file', async () => {
  const clip = await makeClip(fixture.clips, 'second.mp4', { seconds: 20, size: '640x360' })
  watched = await watch(browser, fixture.stack.cmsUrl)
  const { page, problems } = watched
  await page.waitForSelector(`li.video[data-id="${id}"]`)
  await page.setInputFiles('#file', clip)
  await page.click('#add-file button[type=submit]')
  const row = 'li.video:has(h3:text-is("second"))'
  await page.waitForSelector(`${row} progress:visible`)
  await page.waitForSelector(`${row} .state:text-is("ready")`, { timeout: 60_000 })
  await page.click(`${row} [data-action=play]`)
  await watched.playsPast(1)
  expect(problems).toEqual([])
})
