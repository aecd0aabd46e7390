import pg from 'pg'
import { Database } from '../../services/database.js'
import { migrate } from '../../services/database/migrations.js'
import type { Owner } from './servers.js'

/** A database with its tables, as a process has it: losses of its connections are heard. Given up with its owner. */
export async function openDatabase (owner: Owner, connectionString: string): Promise<{ pool: pg.Pool, database: Database }> {
  const pool = new pg.Pool({ connectionString, connectionTimeoutMillis: 2000 })
  pool.on('error', () => {})
  pool.on('connect', (client) => { client.on('error', () => {}) })
  owner.teardown(async () => { await pool.end() })
  const client = await pool.connect()
  await migrate(client, { sampleData: 'never' })
  client.release()
  return { pool, database: new Database(pool) }
}
