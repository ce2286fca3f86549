import { MillraceError } from '@millrace/common/errors'
import { type Kysely, type Migration, Migrator } from 'kysely'
import * as videos from './migrations/20261123T060000-videos.js'
import type { Database } from './schema.js'

const MIGRATIONS: Record<string, Migration> = {
  '20261123T060000-videos': videos,
}

/**
 * Brings the schema up to date; PostgreSQL's advisory lock keeps two services from doing it at once.
 *
 * @throws MillraceError `migration-failed`; what was migrated before stays.
 */
export async function migrate(db: Kysely<Database>): Promise<string[]> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => MIGRATIONS } })
  const { error, results } = await migrator.migrateToLatest()
  if (error) {
    throw new MillraceError(`the database schema cannot be brought up to date: ${error instanceof Error ? error.message : String(error)}`, {
      code: 'migration-failed',
      source: 'internal',
      retryable: false,
      cause: error,
    })
  }
  return (results ?? []).map((result) => result.migrationName)
}
