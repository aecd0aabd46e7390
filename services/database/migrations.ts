import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { ClientBase, QueryConfig } from 'pg'
import Postgrator from 'postgrator'

const folder = fileURLToPath(new URL('../../migrations/', import.meta.url))
/** Any number, as long as every process of this service takes the same. */
const LOCK = 7_205_759_403
/** Milliseconds that a migration may take, or wait for another process that migrates. */
const PATIENCE = 120_000

export interface MigrationOptions {
  /** Enter the sample data: into an empty database only (`fresh`), whatever there is (`always`), or never. Once in any case. */
  sampleData: 'fresh' | 'always' | 'never'
  /** Version to migrate to, down as well as up; undefined is the newest. */
  target?: number
}

/**
 * Brings the tables up to date and answers which versions it applied. All of it is one transaction that holds an advisory lock:
 * of several processes that start at once, one migrates and the others find nothing left to do, and a fault leaves
 * everything as it was.
 */
export async function migrate (client: ClientBase, { sampleData, target }: MigrationOptions): Promise<number[]> {
  // Longer than the pool's own limits, which are made for requests.
  const execQuery = (text: string) => client.query({ text, query_timeout: PATIENCE } as QueryConfig)
  const postgrator = new Postgrator({
    driver: 'pg',
    schemaTable: 'larder_migrations',
    migrationPattern: `${folder.replaceAll('\\', '/').replace(/[?*()[\]{}]/g, '\\$&')}[0-9]*.sql`,
    newline: 'LF',
    execQuery
  })
  await execQuery('BEGIN ISOLATION LEVEL READ COMMITTED')
  try {
    await execQuery(`SET LOCAL statement_timeout = ${PATIENCE}; SET LOCAL lock_timeout = ${PATIENCE}; SELECT pg_advisory_xact_lock(${LOCK})`)
    const fresh = await postgrator.getDatabaseVersion() === 0
    const applied = await postgrator.migrate(target === undefined ? 'max' : String(target))
    if (target === undefined && (sampleData === 'always' || (sampleData === 'fresh' && fresh))) await enterSampleData(execQuery)
    await execQuery('COMMIT')
    return applied.map(({ version }) => version)
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {})
    throw error
  }
}

/** Once in the life of a database: what somebody deletes does not come back with the next start. */
async function enterSampleData (execQuery: (text: string) => Promise<{ rowCount: number | null }>): Promise<void> {
  const { rowCount } = await execQuery("INSERT INTO milestones (name) VALUES ('sample data') ON CONFLICT DO NOTHING")
  if (rowCount !== 0) await execQuery(readFileSync(`${folder}sample-data.sql`, 'utf8'))
}
