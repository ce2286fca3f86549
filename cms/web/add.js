// Adding a video, by URL or by file.
import { createFromUrl, upload } from './api.js'
import { bytes } from './format.js'

const $ = (selector) => document.querySelector(selector)

export function setUpAdding({ onAdded }) {
  let stop
  $('#add-url').addEventListener('submit', async (event) => {
    event.preventDefault()
    await attempt(event.target, async () => onAdded(await createFromUrl($('#url').value.trim())))
  })
  $('#add-file').addEventListener('submit', async (event) => {
    event.preventDefault()
    const file = $('#file').files[0]
    if (!file) return
    stop = new AbortController()
    const started = performance.now()
    $('#upload').hidden = false
    $('#upload-stop').hidden = false
    const onProgress = (loaded, total) => {
      $('#upload-bar').value = total > 0 ? loaded / total : 0
      const rate = loaded / Math.max(0.1, (performance.now() - started) / 1000)
      $('#upload-text').textContent = `${file.name}: ${bytes(loaded)} of ${bytes(total)}, ${bytes(rate)}/s`
    }
    onProgress(0, file.size)
    await attempt(event.target, async () => onAdded(await upload(file, { onProgress, signal: stop.signal })))
    $('#upload').hidden = true
    $('#upload-stop').hidden = true
  })
  $('#upload-stop').addEventListener('click', () => stop?.abort())
}

async function attempt(form, work) {
  const button = form.querySelector('button[type=submit]')
  button.disabled = true
  $('#add-problem').hidden = true
  try {
    await work()
    form.reset()
  } catch (error) {
    if (error.name === 'AbortError') return
    $('#add-problem').textContent = error.message
    $('#add-problem').hidden = false
  } finally {
    button.disabled = false
  }
}
