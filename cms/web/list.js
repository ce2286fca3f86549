// The list of videos: one row per video, brought up to date in place.
import { change, get } from './api.js'
import { facts, progressLine } from './format.js'

const $ = (selector) => document.querySelector(selector)
const RUNNING = ['queued', 'transcoding', 'publishing']

/** @param onPlay told when a person wants to watch a video. */
export function createList({ onPlay }) {
  const rows = new Map()
  const videos = new Map()
  let next

  function show(video) {
    const filter = $('#filter').value
    videos.set(video.id, video)
    const wanted = filter ? video.state === filter : video.state !== 'deleted'
    let row = rows.get(video.id)
    if (!wanted) {
      row?.remove()
      rows.delete(video.id)
    } else {
      if (!row) {
        row = $('#row').content.firstElementChild.cloneNode(true)
        row.dataset.id = video.id
        rows.set(video.id, row)
        place(row)
      }
      fill(row, video)
    }
    $('#empty').hidden = rows.size > 0
  }

  /** Newest first: ids grow with time. */
  function place(row) {
    const after = [...$('#videos').children].find((other) => other.dataset.id < row.dataset.id)
    $('#videos').insertBefore(row, after ?? null)
  }

  async function load({ more = false } = {}) {
    const query = new URLSearchParams({ limit: '50' })
    if ($('#filter').value) query.set('state', $('#filter').value)
    if (more && next) query.set('cursor', next)
    try {
      const page = await get(`/api/v1/videos?${query}`)
      if (!more) {
        rows.clear()
        $('#videos').replaceChildren()
      }
      next = page.next
      for (const video of page.items) show(video)
      $('#more').hidden = !next
      $('#empty').hidden = rows.size > 0
      problem()
    } catch (error) {
      problem(error)
    }
  }

  function progress(state) {
    const video = videos.get(state.videoId)
    const row = rows.get(state.videoId)
    if (!video || !row || !RUNNING.includes(video.state)) return
    video.progress = state
    work(row, video)
  }

  $('#filter').addEventListener('change', () => load())
  $('#more').addEventListener('click', () => load({ more: true }))
  $('#videos').addEventListener('click', async (event) => {
    const button = event.target.closest('button[data-action]')
    if (!button) return
    const { id } = button.closest('li').dataset
    const { action } = button.dataset
    if (action === 'play') return onPlay(id)
    if (action === 'delete' && !(await confirmDelete(videos.get(id)))) return
    button.disabled = true
    try {
      show(action === 'delete' ? await change('DELETE', `/api/v1/videos/${id}`) : await change('POST', `/api/v1/videos/${id}/${action}`))
      problem()
    } catch (error) {
      problem(error)
    } finally {
      button.disabled = false
    }
  })

  return { load, show, progress }
}

function fill(row, video) {
  row.querySelector('h3').textContent = video.title
  const state = row.querySelector('.state')
  state.textContent = video.state
  state.className = `state ${video.state}`
  row.querySelector('.facts').textContent = facts(video)
  work(row, video)
  replicas(row, video)
  const error = row.querySelector('.error')
  error.hidden = !video.error
  if (video.error) {
    error.querySelector('summary').textContent = `${video.error.code}: ${video.error.message}`
    error.querySelector('pre').textContent = video.error.detail ?? 'no further details'
  }
  actions(row, video)
  poster(row, video)
}

function work(row, video) {
  const box = row.querySelector('.work')
  box.hidden = !RUNNING.includes(video.state)
  if (box.hidden) return
  const bar = box.querySelector('progress')
  const fraction = video.state === 'queued' ? 0 : video.progress?.fraction
  if (fraction === undefined) bar.removeAttribute('value')
  else bar.value = fraction
  bar.setAttribute('aria-label', `Progress of ${video.title}`)
  const waiting = video.state === 'queued' ? 'waiting for a transcoder' : `${video.state}…`
  box.querySelector('.work-text').textContent = video.progress && video.state !== 'queued' ? progressLine(video.progress) : waiting
}

function replicas(row, video) {
  const words = { held: '✓', wanted: '… to come', failed: '✗ failed, will be tried again' }
  const text = video.replicas.map((replica) => `${replica.originId} ${words[replica.state]}`).join(' · ')
  row.querySelector('.replicas').textContent = text && `Origins: ${text}`
}

function actions(row, video) {
  const shown = {
    play: video.rev !== undefined && video.state !== 'deleted',
    retry: ['failed', 'cancelled'].includes(video.state),
    cancel: RUNNING.includes(video.state),
    delete: video.state !== 'deleted',
  }
  for (const button of row.querySelectorAll('button[data-action]')) {
    button.hidden = !shown[button.dataset.action]
    button.setAttribute('aria-label', `${button.textContent} ${video.title}`)
  }
}

/** The poster comes from an edge, once per revision. */
async function poster(row, video) {
  const image = row.querySelector('img')
  if (!video.rev || video.state === 'deleted' || !video.renditions.some((file) => file.role === 'poster')) return
  if (row.dataset.poster === video.rev) return
  row.dataset.poster = video.rev
  try {
    const { edges } = await get(`/api/v1/videos/${video.id}/playback`)
    image.addEventListener('load', () => {
      image.className = 'loaded'
    })
    image.src = edges[0].poster
  } catch {
    delete row.dataset.poster
  }
}

function confirmDelete(video) {
  const dialog = $('#confirm')
  $('#confirm-text').textContent = `Delete “${video.title}” and its files on every origin?`
  dialog.returnValue = 'no'
  dialog.showModal()
  return new Promise((resolve) => dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true }))
}

function problem(error) {
  $('#list-problem').hidden = !error
  $('#list-problem').textContent = error ? error.message : ''
}
