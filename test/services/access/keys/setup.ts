import type { Test } from 'tap'
import { CredentialStore } from '../../../../services/access/credential-store.js'
import { ApiKeys } from '../../../../services/access/keys/api-keys.js'
import { HeldKeys } from '../../../../services/access/keys/held-keys.js'
import type { Principal } from '../../../../services/access/principal.js'
import { ScopeSet } from '../../../../services/access/scopes.js'
import { openDatabase } from '../../../support/database.js'
import { databaseUrl } from '../../../support/servers.js'

export const OPERATOR: Principal = { kind: 'administrator', id: 'administrator', scopes: ScopeSet.of(['*']) }
export const silent = { warn: () => {}, info: () => {}, debug: () => {} }

/** Keys as a process has them, over a database of their own. */
export async function prepare (t: Test, { now = Date.now, shared = true } = {}) {
  const { database } = await openDatabase(t, await databaseUrl(t))
  const credentials = new CredentialStore({ database, shared, pollInterval: 20, log: silent })
  const warned: object[] = []
  const noted: string[] = []
  const held = new HeldKeys({ credentials, uses: { note: (bearer) => { noted.push(bearer) } }, now, log: { warn: (detail) => { warned.push(detail) } } })
  await credentials.follow(held.load)
  t.teardown(async () => {
    await credentials.close()
  })
  return { database, credentials, held, warned, noted, keys: new ApiKeys({ credentials, database, now }) }
}
