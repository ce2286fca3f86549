// hls.js behind the few verbs that the page needs.

/** @param events `tracks` when lists changed, `failed` with a sentence when playback can't go on. */
export function playHls(video, url, events) {
  const { Hls } = window
  const hls = new Hls({
    // A silent edge is left before the buffer runs dry.
    fragLoadPolicy: { default: { ...Hls.DefaultConfig.fragLoadPolicy.default, maxTimeToFirstByteMs: 4000 } },
  })
  let recovered = false
  hls.on(Hls.Events.ERROR, (_event, data) => {
    if (!data.fatal) return
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR && !recovered) {
      recovered = true
      hls.recoverMediaError()
    } else events.failed(`HLS: ${data.details}`)
  })
  for (const name of ['MANIFEST_PARSED', 'LEVELS_UPDATED', 'AUDIO_TRACKS_UPDATED', 'SUBTITLE_TRACKS_UPDATED', 'AUDIO_TRACK_SWITCHED']) {
    hls.on(Hls.Events[name], () => events.tracks())
  }
  hls.subtitleDisplay = true
  hls.loadSource(url)
  hls.attachMedia(video)
  return {
    kind: 'hls',
    instance: hls,
    qualities: () => hls.levels.map((level, index) => ({ id: index, label: sizeLabel(level.width, level.height, level.bitrate) })),
    audios: () => hls.audioTracks.map((track, index) => ({ id: index, label: track.name, selected: index === hls.audioTrack })),
    texts: () => hls.subtitleTracks.map((track, index) => ({ id: index, label: track.name, selected: index === hls.subtitleTrack })),
    setQuality: (id) => {
      // A choice is seen at once; back to automatic, what is buffered may play on.
      if (id === undefined) hls.nextLevel = -1
      else hls.currentLevel = id
    },
    setAudio: (id) => {
      hls.audioTrack = id
    },
    setText: (id) => {
      hls.subtitleTrack = id ?? -1
    },
    destroy: () => hls.destroy(),
  }
}

export function sizeLabel(width, height, bitrate) {
  const rate = `${(bitrate / 1e6).toFixed(bitrate < 1e6 ? 2 : 1)} Mbit/s`
  return width && height ? `${Math.min(width, height)}p · ${rate}` : rate
}
