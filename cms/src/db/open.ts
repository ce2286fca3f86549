import { chmod, mkdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PGlite } from '@electric-sql/pglite'
import type { Logger } from '@millrace/common/log'
import { bound } from '@millrace/common/process'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { lockFile } from './folder-lock.js'
import { migrate } from './migrate.js'
import { PGliteDialect } from './pglite-dialect.js'
import type { Database } from './schema.js'

const INT8 = 20
const CREATE_SCRIPT = fileURLToPath(new URL('../../bin/create-pglite.mjs', import.meta.url))

export interface OpenDatabase {
  db: Kysely<Database>
  engine: 'postgresql' | 'pglite'
  close: () => Promise<void>
}

/** Opens the configured database and migrates it: PostgreSQL by `url`, else PGlite in the folder `path`. */
export async function openDatabase(
  config: { url?: string | undefined; path?: string | undefined },
  log: Logger,
  onLost: (error: Error) => void,
): Promise<OpenDatabase> {
  const opened = config.url ? openPostgres(config.url, log) : await openPGlite(config.path ?? 'database', log, onLost)
  try {
    const done = await migrate(opened.db)
    if (done.length > 0) log.info({ migrations: done }, 'database migrated')
  } catch (error) {
    await opened.close()
    throw error
  }
  return opened
}

function openPostgres(url: string, log: Logger): OpenDatabase {
  const pool = new pg.Pool({
    connectionString: url,
    max: 10,
    connectionTimeoutMillis: 10_000,
    statement_timeout: 30_000,
    // int8 as a number, as PGlite gives it: every one of ours is a count.
    types: { getTypeParser: (oid, format) => (oid === INT8 ? Number : pg.types.getTypeParser(oid, format)) },
  })
  // An idle connection that breaks is replaced at the next query; without a listener it would end the process.
  pool.on('error', (error) => log.warn({ err: error }, 'idle database connection broke'))
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) })
  return { db, engine: 'postgresql', close: () => db.destroy() }
}

async function openPGlite(path: string, log: Logger, onLost: (error: Error) => void): Promise<OpenDatabase> {
  log.warn({ path }, 'embedded database: for a first try only, its last writes do not survive a power loss; use PostgreSQL for more')
  await mkdir(path, { recursive: true, mode: 0o700 })
  await chmod(path, 0o700) // PGlite's own files are readable by all
  const unlock = await lockFile(join(path, 'lock'), onLost)
  try {
    const data = join(path, 'data')
    if (!(await exists(data))) await createPGlite(data)
    const database = new PGlite({
      dataDir: data,
      startParams: [...PGlite.defaultStartParams, '-c', 'shared_buffers=8MB'],
      parsers: { [INT8]: Number },
    })
    await database.waitReady
    const db = new Kysely<Database>({ dialect: new PGliteDialect(database) })
    return { db, engine: 'pglite', close: () => db.destroy().finally(unlock) }
  } catch (error) {
    await unlock()
    throw error
  }
}

async function createPGlite(data: string): Promise<void> {
  const unfinished = `${data}.creating`
  await rm(unfinished, { recursive: true, force: true })
  await bound(process.execPath, [CREATE_SCRIPT, unfinished], { stdio: ['ignore', 'ignore', 'pipe'] })
  await rename(unfinished, data)
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false
      throw error
    },
  )
}
