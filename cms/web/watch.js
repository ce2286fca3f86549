// Watching one video: player, edge, quality, sound and subtitles. Everything is in the address, so it can be shared.
import { get } from './api.js'
import { playDash } from './dash-player.js'
import { playHls } from './hls-player.js'

const $ = (selector) => document.querySelector(selector)

export function createWatch() {
  let shown
  let player
  /** Only the newest opening counts: answers may come in another order. */
  let opening = 0
  /** What the player complained of last. */
  let failure

  async function open(id, { kind = $('#player').value, edge = '', autoplay = true, at = 0 } = {}) {
    const mine = ++opening
    const video = fresh()
    $('#watch').hidden = false
    $('#player').value = kind
    try {
      const playback = await get(`/api/v1/videos/${id}/playback`)
      if (mine !== opening) return
      shown = { id, playback, edge }
      $('#watch-title').textContent = playback.title
      fillEdges(playback, edge)
      video.autoplay = autoplay
      video.poster = playback.edges[0]?.poster ?? ''
      const source = playback.edges.find((one) => one.id === edge) ?? playback.steered
      const play = kind === 'dash' ? playDash : playHls
      player = play(video, source[kind], { tracks: fillTracks, failed })
      if (at > 0) video.addEventListener('loadedmetadata', () => (video.currentTime = at), { once: true })
      window.millrace = {
        kind,
        hls: kind === 'hls' ? player.instance : undefined,
        dash: kind === 'dash' ? player.instance : undefined,
        video,
      }
      address({ v: id, player: kind, edge })
      for (const row of document.querySelectorAll('li.video')) row.setAttribute('aria-current', String(row.dataset.id === id))
    } catch (error) {
      if (mine === opening) problem(error.message)
    }
  }

  /** A video element of its own for each playback: nothing of the one before stays in it. */
  function fresh() {
    player?.destroy()
    player = undefined
    window.millrace = undefined
    failure = undefined
    problem()
    const before = $('#video')
    const video = before.cloneNode(false)
    video.removeAttribute('src')
    video.muted = before.muted
    before.replaceWith(video)
    video.addEventListener('resize', facts)
    video.addEventListener('timeupdate', facts)
    // A player that lost one edge and goes on with another has no problem that anybody should read of.
    video.addEventListener('waiting', () => problem(failure))
    video.addEventListener('playing', () => problem())
    for (const id of ['#quality', '#audio', '#text']) fill($(id), [], '')
    return video
  }

  function close() {
    opening++
    fresh()
    shown = undefined
    $('#watch').hidden = true
    address({})
    for (const row of document.querySelectorAll('li.video')) row.removeAttribute('aria-current')
  }

  function again(change) {
    if (!shown) return
    const { currentTime, paused } = $('#video')
    open(shown.id, { edge: shown.edge, autoplay: !paused, at: currentTime, ...change })
  }

  function failed(text) {
    failure = text
    if ($('#video').readyState < HTMLMediaElement.HAVE_FUTURE_DATA) problem(text)
  }

  function fillTracks() {
    if (!player) return
    const chosen = $('#quality').value
    fill($('#quality'), player.qualities(), 'Automatic', chosen)
    fill($('#audio'), player.audios(), '')
    fill($('#text'), player.texts(), 'Off')
  }

  function facts() {
    const { videoWidth, videoHeight } = $('#video')
    if (!shown) return
    const size = videoWidth ? `${videoWidth} × ${videoHeight} · ` : ''
    const from = shown.edge ? `from ${shown.edge} only` : `from ${shown.playback.edges.map((edge) => edge.id).join(', then ')}`
    $('#watch-facts').textContent = `${size}${from} · revision ${shown.playback.rev}`
  }

  $('#watch-close').addEventListener('click', close)
  $('#player').addEventListener('change', () => again({ kind: $('#player').value }))
  $('#edge').addEventListener('change', () => again({ edge: $('#edge').value }))
  $('#quality').addEventListener('change', () => player?.setQuality(idOf($('#quality'))))
  $('#audio').addEventListener('change', () => player?.setAudio(idOf($('#audio'))))
  $('#text').addEventListener('change', () => player?.setText(idOf($('#text'))))
  return { open, close }
}

function fillEdges(playback, edge) {
  const select = $('#edge')
  const options = [new Option('Best, with failover', ''), ...playback.edges.map((one) => new Option(`${one.id} only`, one.id))]
  select.replaceChildren(...options)
  select.value = playback.edges.some((one) => one.id === edge) ? edge : ''
}

/** Options with the player's own ids; `none` is the option for no choice, '' for none such. */
function fill(select, entries, none, chosen) {
  const options = entries.map((entry) => {
    const option = new Option(entry.label, JSON.stringify(entry.id), false, entry.selected ?? false)
    return option
  })
  if (none) options.unshift(new Option(none, '', false, !entries.some((entry) => entry.selected)))
  select.replaceChildren(...options)
  if (chosen && options.some((option) => option.value === chosen)) select.value = chosen
  select.disabled = entries.length === 0
  select.closest('label').hidden = entries.length === 0
}

function idOf(select) {
  return select.value === '' ? undefined : JSON.parse(select.value)
}

function address(values) {
  const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value))
  history.replaceState(null, '', query.size > 0 ? `?${query}` : '/')
}

function problem(text) {
  $('#watch-problem').hidden = !text
  $('#watch-problem').textContent = text ?? ''
}
