import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

// Tests read our own packages from source, so that a test run never judges a stale build;
// services that a test starts as processes run from dist, as on a host.
const root = fileURLToPath(new URL('.', import.meta.url))
const alias = [{ find: /^@millrace\/(common|scripts)\/(.*)$/, replacement: `${root}$1/src/$2.ts` }]

export default defineConfig({
  test: {
    projects: [
      { resolve: { alias }, test: { name: 'unit', sequence: { groupOrder: 0 }, include: ['*/src/**/*.test.ts'], testTimeout: 10_000 } },
      {
        resolve: { alias },
        test: {
          name: 'int',
          include: ['*/test/**/*.int.test.ts'],
          sequence: { groupOrder: 1 },
          pool: 'forks',
          maxWorkers: 2,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        resolve: { alias },
        test: {
          name: 'e2e',
          include: ['e2e/test/**/*.e2e.test.ts'],
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
})
