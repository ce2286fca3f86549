import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LineWriter } from '../src/line-writer.js'
import { tempFolder } from './edge.js'

let folder: Awaited<ReturnType<typeof tempFolder>>
let path: string
const closing: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  folder = await tempFolder()
  path = join(folder.path, 'access.log')
})

afterEach(async () => {
  for (const close of closing.splice(0)) await close()
  await folder.remove()
})

async function writing(options: Partial<Parameters<typeof LineWriter.open>[0]> = {}) {
  const errors: unknown[] = []
  const writer = await LineWriter.open({ target: { path }, onError: (error) => errors.push(error), flushMs: 5, ...options })
  return { writer, errors }
}

/** A pipe whose two ends never block; what is in it stays there while one end is open. */
async function pipe() {
  const name = join(folder.path, 'pipe')
  await promisify(execFile)('mkfifo', [name])
  const reader = await open(name, constants.O_RDONLY | constants.O_NONBLOCK)
  const writer = await open(name, constants.O_WRONLY | constants.O_NONBLOCK)
  closing.push(() => writer.close())
  return { name, reader, fd: writer.fd }
}

async function drain(reader: FileHandle): Promise<string> {
  const buffer = Buffer.alloc(1 << 20)
  try {
    const { bytesRead } = await reader.read(buffer)
    return buffer.toString('utf8', 0, bytesRead)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return ''
    throw error
  }
}

const lines = async (file: string) => (await readFile(file, 'utf8')).split('\n').slice(0, -1)

describe('LineWriter', () => {
  it('does not open a file that it cannot write', async () => {
    await expect(writing({ target: { path: join(folder.path, 'missing', 'access.log') } })).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('counts what a full disk refuses, throws nothing, and goes on', async () => {
    const { writer, errors } = await writing({ target: { path: '/dev/full' } })
    for (let round = 1; round <= 2; round++) {
      writer.write('one\n')
      writer.write('two\n')
      await writer.flush()
      expect(writer.stats).toEqual({ written: 0, dropped: 2 * round, errors: round })
    }
    expect(errors).toEqual([expect.objectContaining({ code: 'ENOSPC' }), expect.objectContaining({ code: 'ENOSPC' })])
    await writer.close()
  })

  it('drops and counts lines beyond its bound while nobody takes them, and keeps the others whole', async () => {
    const { reader, fd } = await pipe()
    const { writer, errors } = await writing({ target: { fd }, maxPending: 256 * 1024 })
    const line = `${'x'.repeat(999)}\n`
    let given = 0
    // The pipe takes 64 KiB and then no more.
    while (writer.stats.dropped < 10) {
      writer.write(line)
      if (++given % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    let text = ''
    const flushed = writer.flush()
    await until('every line that was kept', async () => {
      text += await drain(reader)
      return text.length === (given - writer.stats.dropped) * 1000
    })
    await flushed
    expect(text.replaceAll(line, '')).toBe('')
    expect(writer.stats).toEqual({ written: given - writer.stats.dropped, dropped: writer.stats.dropped, errors: 0 })
    expect(errors).toEqual([])
    await reader.close()
  })

  it('begins a new line behind one that a failed write has torn', async () => {
    const { name, reader, fd } = await pipe()
    const { writer, errors } = await writing({ target: { fd } })
    writer.write(`${'x'.repeat(1_000_000)}\n`)
    const failed = writer.flush()
    const start = await until('the first part', async () => (await drain(reader)) || undefined)
    await reader.close()
    await failed
    expect(errors).toEqual([expect.objectContaining({ code: 'EPIPE' })])
    expect(writer.stats).toEqual({ written: 0, dropped: 1, errors: 1 })

    const again = await open(name, constants.O_RDONLY | constants.O_NONBLOCK)
    writer.write('whole\n')
    const flushed = writer.flush()
    let text = start
    await until('the next line', async () => {
      text += await drain(again)
      return text.endsWith('whole\n')
    })
    await flushed
    expect(text).toMatch(/^x+\nwhole\n$/)
    await again.close()
  })

  it('goes on in the old file when the new one cannot be opened', async () => {
    const { writer, errors } = await writing()
    const moved = `${folder.path}-moved`
    await rename(folder.path, moved)
    writer.write('one\n')
    await writer.reopen()
    writer.write('two\n')
    await writer.close()
    expect(await lines(join(moved, 'access.log'))).toEqual(['one', 'two'])
    expect(writer.stats).toEqual({ written: 2, dropped: 0, errors: 1 })
    expect(errors).toEqual([expect.objectContaining({ code: 'ENOENT' })])
    await rm(moved, { recursive: true })
  })

  it('loses no line while the file is rotated by rename and reopen', async () => {
    const { writer } = await writing({ flushMs: 1 })
    const files: string[] = []
    let given = 0
    for (let rotation = 0; rotation < 20; rotation++) {
      for (let count = 0; count < 500; count++) {
        writer.write(`${given++}\n`)
        if (count % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      files.push(`${path}.${rotation}`)
      await rename(path, files[rotation]!)
      await writer.reopen()
      writer.write(`${given++}\n`)
    }
    await writer.close()
    const all: string[] = []
    for (const file of [...files, path]) all.push(...(await lines(file)))
    expect(all).toEqual(Array.from({ length: given }, (_, index) => String(index)))
    expect(writer.stats).toEqual({ written: given, dropped: 0, errors: 0 })
  })

  it('writes whole lines beside others that append to the same file', async () => {
    const writers = await Promise.all(['a', 'b', 'c', 'd'].map(async (name) => ({ name, writer: (await writing({ flushMs: 1 })).writer })))
    for (let count = 0; count < 300; count++) {
      for (const { name, writer } of writers) writer.write(`${name.repeat(1 + ((count * 37) % 900))}\n`)
      if (count % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await Promise.all(writers.map(({ writer }) => writer.close()))
    const found = await lines(path)
    expect(found).toHaveLength(1200)
    for (const line of found) expect(line).toMatch(/^(a+|b+|c+|d+)$/)
  })

  it('writes what is there after a short while, and at once when it is much', async () => {
    const { writer } = await writing()
    writer.write('one\n')
    await until('a line in the file', async () => (await lines(path)).length === 1)
    await writer.close()

    const patient = (await writing({ flushMs: 3_600_000 })).writer
    patient.write(`${'x'.repeat(70_000)}\n`)
    await until('a long line in the file', async () => (await lines(path)).length === 2)
    await patient.close()
  })

  it('leaves lines whole in a pipe that it shares with another process, however full that is', async () => {
    const { name, reader, fd } = await pipe()
    const other = await open(name, constants.O_WRONLY | constants.O_NONBLOCK)
    closing.push(() => other.close())
    const writers = [(await writing({ target: { fd } })).writer, (await writing({ target: { fd: other.fd } })).writer]
    const wanted: string[] = []
    for (let i = 0; i < 1000; i++) {
      for (const [index, letter] of ['a', 'b'].entries()) {
        const line = letter.repeat(1 + ((i * 37) % 600))
        wanted.push(line)
        writers[index]!.write(`${line}\n`)
      }
    }
    let flushed = false
    const flushing = Promise.all(writers.map((writer) => writer.flush())).then(() => {
      flushed = true
    })
    let text = ''
    await until('all lines', async () => {
      text += await drain(reader)
      return flushed
    })
    await flushing
    text += await drain(reader)
    await reader.close()
    expect(text.split('\n').slice(0, -1).sort()).toEqual(wanted.sort())
  })
})
