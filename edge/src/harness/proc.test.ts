import { expect, it } from 'vitest'
import { commandLine, cpuSeconds, isRunning, openFiles, processTree, residentBytes } from './proc.js'

/** Above the kernel's largest. */
const NOBODY = 2 ** 22 + 1

it('a process that is gone has no tree, no memory, no files and no time', () => {
  expect(processTree(NOBODY)).toEqual([])
  expect(residentBytes(NOBODY)).toBeUndefined()
  expect(openFiles(NOBODY)).toBeUndefined()
  expect(commandLine(NOBODY)).toBeUndefined()
  expect(isRunning(NOBODY)).toBe(false)
  expect(cpuSeconds([NOBODY])).toBe(0)
})

it('this process is in the tree of its parent, runs, and has used time and memory', () => {
  expect(processTree(process.ppid)).toContain(process.pid)
  expect(processTree(process.pid)[0]).toBe(process.pid)
  expect(isRunning(process.pid)).toBe(true)
  expect(residentBytes(process.pid)).toBeGreaterThan(10 << 20)
  expect(openFiles(process.pid)).toBeGreaterThan(3)
  const { user, system } = process.cpuUsage()
  expect(Math.abs(cpuSeconds([process.pid]) - (user + system) / 1e6)).toBeLessThan(0.5)
})
