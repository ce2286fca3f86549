// The page: a list that follows the CMS live, a form to add, a player. `?v=ID&player=hls|dash&edge=ID&autoplay=1` opens a video.
import { setUpAdding } from './add.js'
import { get, listen } from './api.js'
import { createList } from './list.js'
import { createWatch } from './watch.js'

const $ = (selector) => document.querySelector(selector)
const FLEET_EVERY_MS = 5000

const watch = createWatch()
const list = createList({
  onPlay: async (id) => {
    await watch.open(id)
    $('#watch-title').focus()
    $('#watch').scrollIntoView({ block: 'start' })
  },
})
setUpAdding({ onAdded: list.show })

const query = new URLSearchParams(location.search)
const id = query.get('v')
if (id) {
  const autoplay = query.get('autoplay') === '1'
  // Browsers start by themselves only what makes no sound.
  $('#video').muted = autoplay
  watch.open(id, { kind: query.get('player') === 'dash' ? 'dash' : 'hls', edge: query.get('edge') ?? '', autoplay })
}

async function fleet() {
  try {
    const { origins, edges, transcoders } = await get('/api/v1/nodes')
    const nodes = [...origins, ...edges, ...transcoders.map((node) => ({ ...node, healthy: true }))]
    const parts = nodes.map((node) => {
      const part = document.createElement('span')
      part.className = node.healthy ? 'node up' : 'node'
      part.textContent = node.id
      part.title = node.healthy ? 'healthy' : `not healthy${node.detail ? `: ${node.detail}` : ''}`
      if (!node.healthy) part.append(' (down)')
      return part
    })
    $('#fleet').replaceChildren(...parts)
  } catch {
    $('#fleet').replaceChildren()
  }
}
fleet()
setInterval(fleet, FLEET_EVERY_MS)

function live(up) {
  $('#live').className = up ? 'live up' : 'live'
  $('#live').textContent = up ? 'live' : 'reconnecting…'
}
listen({
  open: () => {
    live(true)
    list.load()
  },
  lost: () => live(false),
  video: list.show,
  progress: list.progress,
})
