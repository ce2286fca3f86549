// dash.js behind the same verbs.
import { languageName } from './format.js'
import { sizeLabel } from './hls-player.js'

/** How long the picture may stand still after a failed download before the viewer is told: time for the next edge to answer. */
const PATIENCE_MS = 8000

export function playDash(video, url, events) {
  const { MediaPlayer, Debug } = window.dashjs
  const player = MediaPlayer().create()
  // A dead edge is given up after one quick retry; by default a player would stall for seconds on it.
  const once = { MPD: 1, MediaSegment: 1, InitializationSegment: 1, IndexSegment: 1, BitstreamSwitchingSegment: 1, other: 1 }
  const soon = Object.fromEntries(Object.keys(once).map((kind) => [kind, 200]))
  player.updateSettings({
    debug: { logLevel: Debug.LOG_LEVEL_NONE },
    streaming: {
      retryAttempts: once,
      retryIntervals: soon,
      applyContentSteering: true,
      buffer: { fastSwitchEnabled: true },
      text: { defaultEnabled: false },
    },
  })
  player.initialize()
  player.attachView(video)
  player.setAutoPlay(video.autoplay)
  for (const name of ['STREAM_INITIALIZED', 'TRACK_CHANGE_RENDERED', 'TEXT_TRACKS_ADDED'])
    player.on(MediaPlayer.events[name], () => events.tracks())
  // A download that fails on one edge is tried on the next: it is a problem only when the picture stays still.
  const { errors } = MediaPlayer
  const downloads = [errors.DOWNLOAD_ERROR_ID_CONTENT_CODE, errors.DOWNLOAD_ERROR_ID_INITIALIZATION_CODE]
  let patience
  const goesOn = () => clearTimeout(patience)
  video.addEventListener('timeupdate', goesOn)
  player.on(MediaPlayer.events.ERROR, ({ error }) => {
    const tell = () => events.failed(`DASH: ${error?.message ?? error}`)
    clearTimeout(patience)
    if (downloads.includes(error?.code)) patience = setTimeout(tell, PATIENCE_MS)
    else tell()
  })
  player.attachSource(url)
  const tracks = (type) => (player.isReady() ? player.getTracksFor(type) : [])
  const label = (track) => track.labels?.[0]?.text || languageName(track.lang)
  const current = (type) => player.getCurrentTrackFor(type)?.index
  const represented = () => (player.isReady() ? player.getRepresentationsByType('video') : [])
  let text
  return {
    kind: 'dash',
    instance: player,
    qualities: () => represented().map((one) => ({ id: one.id, label: sizeLabel(one.width, one.height, one.bandwidth) })),
    audios: () => tracks('audio').map((track, index) => ({ id: index, label: label(track), selected: track.index === current('audio') })),
    texts: () => tracks('text').map((track, index) => ({ id: index, label: label(track), selected: index === text })),
    setQuality: (id) => {
      player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: id === undefined } } } })
      if (id !== undefined) player.setRepresentationForTypeById('video', id, true)
    },
    setAudio: (id) => player.setCurrentTrack(tracks('audio')[id]),
    setText: (id) => {
      text = id
      player.setTextTrack(id ?? -1)
    },
    destroy: () => {
      clearTimeout(patience)
      video.removeEventListener('timeupdate', goesOn)
      player.destroy()
    },
  }
}
