// The CMS's API as this page uses it. A token, where one is needed, lives as long as the tab.
const TOKEN = 'millrace-token'

/** A problem document's answer: `message` is its sentence, `code` its stable name. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.title ?? `the server answered ${status}`)
    this.status = status
    this.code = body?.code
  }
}

export function authorization() {
  const token = sessionStorage.getItem(TOKEN)
  return token ? { authorization: `Bearer ${token}` } : {}
}

/** Asks a person for the token; the dialog is shown once at a time. */
let asking
function askForToken() {
  const dialog = document.querySelector('#signin')
  asking ??= new Promise((resolve) => {
    dialog.addEventListener(
      'close',
      () => {
        sessionStorage.setItem(TOKEN, document.querySelector('#token').value)
        asking = undefined
        resolve()
      },
      { once: true },
    )
    dialog.showModal()
  })
  return asking
}

async function request(path, options = {}) {
  const send = () => fetch(path, { ...options, headers: { ...options.headers, ...authorization() } })
  let response = await send()
  while (response.status === 401) {
    await askForToken()
    response = await send()
  }
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => undefined))
  return response
}

export async function get(path) {
  return (await request(path)).json()
}

export async function change(method, path) {
  return (await request(path, { method })).json()
}

export async function createFromUrl(url) {
  const body = JSON.stringify({ url })
  return (await request('/api/v1/videos', { method: 'POST', body, headers: { 'content-type': 'application/json' } })).json()
}

/** XMLHttpRequest, because fetch tells no upload progress. */
export function upload(file, { onProgress, signal }) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest()
    xhr.open('POST', `/api/v1/videos?filename=${encodeURIComponent(file.name.slice(0, 255) || 'upload')}`)
    xhr.responseType = 'json'
    xhr.setRequestHeader('content-type', 'application/octet-stream')
    for (const [name, value] of Object.entries(authorization())) xhr.setRequestHeader(name, value)
    xhr.upload.addEventListener('progress', (event) => onProgress(event.loaded, event.total))
    xhr.addEventListener('load', () => (xhr.status < 300 ? resolve(xhr.response) : reject(new Problem(xhr.status, xhr.response))))
    xhr.addEventListener('error', () => reject(new Error('the connection broke')))
    xhr.addEventListener('abort', () => reject(new DOMException('stopped', 'AbortError')))
    signal.addEventListener('abort', () => xhr.abort())
    xhr.send(file)
  })
}

/**
 * Server-sent events over fetch, which can carry a token where EventSource can't. Comes back by itself, for ever.
 * @param handlers `open` after each connection (what was missed must be read anew), `lost`, and one per event name.
 */
export async function listen(handlers) {
  for (;;) {
    try {
      const response = await request('/api/v1/events')
      handlers.open()
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
      let buffer = ''
      for (;;) {
        const { done, value } = await reader.read()
        if (done) break
        buffer += value
        const messages = buffer.split('\n\n')
        buffer = messages.pop()
        for (const message of messages) {
          const match = /^event: (\w+)\ndata: (.*)$/s.exec(message)
          if (match) handlers[match[1]]?.(JSON.parse(match[2]))
        }
      }
    } catch (error) {
      console.warn('events', error)
    }
    handlers.lost()
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }
}
