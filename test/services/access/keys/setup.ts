import pg from 'pg'
import type { Test } from 'tap'
import { CredentialStore } from '../../../../services/access/credential-store.js'
import { ApiKeys } from '../../../../services/access/keys/api-keys.js'
import { HeldKeys } from '../../../../services/access/keys/held-keys.js'
import type { Principal } from '../../../../services/access/principal.js'
import { ScopeSet } from '../../../../services/access/scopes.js'
import { Database } from '../../../../services/database.js'
import { migrate } from '../../../../services/database/migrations.js'
import { databaseUrl } from '../../../support/servers.js'

export const OPERATOR: Principal = { kind: 'administrator', id: 'administrator', scopes: ScopeSet.of(['*']) }
export const silent = { warn: () => {}, info: () => {}, debug: () => {} }

/** Keys as a process has them, over a database of their own. */
export async function prepare (t: Test, { now = Date.now, shared = true } = {}) {
  const pool = new pg.Pool({ connectionString: await databaseUrl(t) })
  const client = await pool.connect()
  await migrate(client, { sampleData: 'never' })
  client.release()
  const database = new Database(pool)
  const credentials = new CredentialStore({ database, shared, pollInterval: 20, log: silent })
  const warned: object[] = []
  const noted: string[] = []
  const held = new HeldKeys({ credentials, uses: { note: (bearer) => { noted.push(bearer) } }, now, log: { warn: (detail) => { warned.push(detail) } } })
  await credentials.follow(held.load)
  t.teardown(async () => {
    await credentials.close()
    await pool.end()
  })
  return { database, credentials, held, warned, noted, keys: new ApiKeys({ credentials, database, now }) }
}
