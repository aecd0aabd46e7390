import t, { type Test } from 'tap'
import type pg from 'pg'
import type { AuditEvent } from '../../../services/access/audit-event.js'
import { AuditLog, type AuditLogOptions } from '../../../services/access/audit-log.js'
import type { Principal } from '../../../services/access/principal.js'
import { ScopeSet } from '../../../services/access/scopes.js'
import type { Database, Queryable, Statement } from '../../../services/database.js'
import { UnavailableError } from '../../../services/errors.js'
import { eventually } from '../../support/caches.js'
import { openDatabase } from '../../support/database.js'
import { databaseUrl } from '../../support/servers.js'

const OPERATOR: Principal = { kind: 'administrator', id: 'administrator', scopes: ScopeSet.of(['*']) }
const TENANT: Principal = { kind: 'api_key', id: 'key:tenant', scopes: ScopeSet.of(['*']), namespaces: new Set(['a']) }

const event = (more: Partial<AuditEvent> = {}): AuditEvent => ({
  at: Date.now(), principal: 'administrator', kind: 'administrator', action: 'cache.clear', scope: 'cache:delete', outcome: 'success', status: 200, ...more
})
const denial = (more: Partial<AuditEvent> = {}): AuditEvent =>
  event({ principal: '', kind: 'anonymous', action: 'access', scope: 'cache:read', outcome: 'denied', status: 401, address: '192.0.2.1', ...more })

/** A database that is away while `isAway` says so, and answers again afterwards. */
class Fickle implements Queryable {
  isAway = false
  statements = 0
  readonly #database: Database

  constructor (database: Database) { this.#database = database }

  async query<Row extends pg.QueryResultRow> (statement: Statement) {
    if (this.isAway) throw new UnavailableError('The database is away.')
    this.statements++
    return await this.#database.query<Row>(statement)
  }
}

void t.test('the audit log', async (t) => {
  const { pool, database: real } = await openDatabase(t, await databaseUrl(t))
  const database = new Fickle(real)
  const warnings: { detail: object, message: string }[] = []
  const log = { warn: (detail: object, message: string) => { warnings.push({ detail, message }) } }

  async function open (t: Test, options: Partial<AuditLogOptions> = {}): Promise<AuditLog> {
    await pool.query('TRUNCATE audit_log')
    warnings.length = 0
    const audit = new AuditLog({ database, log, retention: 90, interval: 10, ...options })
    t.teardown(async () => audit.close())
    return audit
  }

  await t.test('holds what was recorded, the newest first, and soon', async (t) => {
    const audit = await open(t)
    audit.record(event({ namespace: 'shop', address: '192.0.2.7', requestId: 'r-1', resource: 'keys/1', keyHash: 'a'.repeat(64), reason: 'why' }))
    audit.record(event({ action: 'cache.export', outcome: 'failure', status: 503 }))
    t.equal(audit.waiting, 2, 'nothing waits for the database')
    await eventually(() => audit.waiting === 0, 'written')
    const { entries } = await audit.list(OPERATOR, {})
    t.match(entries, [
      { action: 'cache.export', outcome: 'failure', status: 503, resource: null, namespace: null, reason: null },
      { action: 'cache.clear', namespace: 'shop', address: '192.0.2.7', request_id: 'r-1', resource: 'keys/1', key_hash: 'a'.repeat(64), count: 1, reason: 'why' }
    ])
  })

  await t.test('writes many at once, and what PostgreSQL would refuse in a form that it takes', async (t) => {
    const audit = await open(t)
    const before = database.statements
    for (let index = 0; index < 300; index++) audit.record(event({ reason: '\0 and \ud800 and ' + 'long'.repeat(1000) }))
    await audit.flush()
    t.ok(database.statements - before <= 2, 'in one statement or two')
    t.equal((await audit.list(OPERATOR, {})).entries.length, 300)
  })

  await t.test('is filtered, and read in pages', async (t) => {
    const audit = await open(t)
    audit.record(event({ principal: 'key:1', kind: 'api_key' }))
    audit.record(event({ principal: 'valet:2', kind: 'valet_key', action: 'access' }))
    audit.record(event({ action: 'key.revoke', resource: 'keys/1' }))
    audit.record(event({ outcome: 'denied', at: Date.now() - 10_000 }))
    const actions = async (query: object, viewer = OPERATOR) => (await audit.list(viewer, query)).entries.length
    t.equal(await actions({ principal: 'key:1' }), 1)
    t.equal(await actions({ action: 'key.revoke' }), 1)
    t.equal(await actions({ outcome: 'denied' }), 1)
    t.equal(await actions({ credential_id: '1' }), 2, 'what the key did, and what was done to it')
    t.equal(await actions({ since: new Date(Date.now() - 5000).toISOString() }), 3)
    t.equal(await actions({ until: new Date(Date.now() - 5000).toISOString() }), 1)
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page = await audit.list(OPERATOR, { limit: 3, ...(cursor !== undefined && { cursor }) })
      seen.push(...page.entries.map(({ id }) => id))
      cursor = page.next_cursor
    } while (cursor !== undefined)
    t.equal(new Set(seen).size, 4)
    t.strictSame(seen, seen.toSorted((a, b) => Number(b) - Number(a)))
  })

  await t.test('shows who is limited their own acts alone, whatever they ask for', async (t) => {
    const audit = await open(t)
    audit.record(event())
    audit.record(event({ principal: 'key:tenant', kind: 'api_key' }))
    t.match((await audit.list(TENANT, {})).entries, [{ principal: 'key:tenant' }])
    t.strictSame((await audit.list(TENANT, { principal: 'administrator' })).entries, [])
  })

  await t.test('counts denials that are alike', async (t) => {
    let now = Date.now()
    const audit = await open(t, { now: () => now })
    for (let index = 0; index < 1000; index++) audit.count(denial({ at: now }))
    audit.count(denial({ at: now, address: '192.0.2.2' }))
    await audit.flush()
    t.match((await audit.list(OPERATOR, {})).entries.map(({ address, count }) => [address, count]).sort(), [['192.0.2.1', 1], ['192.0.2.2', 1]], 'the first of each at once')
    now += 60_001
    audit.record(event({ at: now }))
    await eventually(async () => (await audit.list(OPERATOR, { outcome: 'denied' })).entries.length === 3, 'the others a minute later')
    t.match((await audit.list(OPERATOR, { outcome: 'denied' })).entries[0], { address: '192.0.2.1', count: 999 })
  })

  await t.test('counts again what it was told of, by no more than what is alike', async (t) => {
    const audit = await open(t, { interval: 60_000 })
    const { at, outcome, action, scope, status, principal, address } = denial()
    const alike = { at, outcome, action, scope, status, principal, address }
    t.equal(audit.countAgain(alike), false, 'not before it was told')
    audit.count(denial({ keyHash: 'a'.repeat(64) }))
    t.equal(audit.countAgain({ ...alike, at: at + 500 }), true)
    for (const other of [{ outcome: 'success' as const }, { action: 'cache.clear' }, { scope: 'cache:write' as const }, { status: 403 }, { principal: 'valet:1' }, { address: '192.0.2.9' }]) {
      t.equal(audit.countAgain({ ...alike, ...other }), false, JSON.stringify(other))
    }
    await audit.close()
    const { rows } = await pool.query<{ count: number, until: Date }>('SELECT count::int, until FROM audit_log ORDER BY id')
    t.strictSame(rows.map(({ count }) => count), [1, 1])
    t.equal(rows[1]?.until.getTime(), at + 500)
  })

  await t.test('a flood from many addresses fills no table', async (t) => {
    const audit = await open(t, { windows: { most: 10 } })
    for (let index = 0; index < 5000; index++) audit.count(denial({ address: `198.51.${index >> 8}.${index & 255}` }))
    for (let index = 0; index < 100; index++) audit.count(denial({ address: `2001:db8::${index.toString(16)}` }))
    await audit.close()
    const { rows } = await pool.query<{ rows: number, total: number }>('SELECT count(*)::int AS rows, sum(count)::int AS total FROM audit_log')
    t.strictSame(rows[0], { rows: 11, total: 5100 }, 'and none is lost')
  })

  await t.test('one network of IPv6 is one source', async (t) => {
    const audit = await open(t)
    for (const address of ['2001:db8::1', '2001:db8:0:0::2', '2001:db8:0:0:ffff::3', '2001:db8:0:1::1']) audit.count(denial({ address }))
    await audit.flush()
    t.equal((await audit.list(OPERATOR, {})).entries.length, 2)
  })

  await t.test('while the database is away it holds what fits, then drops the oldest and says how many', async (t) => {
    const audit = await open(t, { capacity: 100 })
    database.isAway = true
    for (let index = 0; index < 130; index++) audit.record(event({ requestId: `r-${index}` }))
    await audit.flush()
    t.equal(audit.waiting, 100)
    database.isAway = false
    await eventually(() => audit.waiting === 0, 'written once the database is back')
    const { entries } = await audit.list(OPERATOR, {})
    t.match(entries[0], { action: 'audit.lost', count: 30, outcome: 'failure' })
    t.strictSame(entries.slice(1).map(({ request_id: id }) => id), Array.from({ length: 100 }, (_, index) => `r-${129 - index}`))
    t.match(warnings.map(({ message }) => message), [/no room/, /cannot be written/, /can be written again/])
  })

  await t.test('a row that comes again is kept once', async (t) => {
    const audit = await open(t)
    const twice: Queryable = { query: async (statement) => { await database.query(statement); throw new UnavailableError('The answer was lost.') } }
    const unsure = new AuditLog({ database: twice, log, retention: 90, interval: 10 })
    unsure.record(event())
    await unsure.flush()
    await unsure.flush()
    t.equal((await audit.list(OPERATOR, {})).entries.length, 1)
    await unsure.close()
  })

  await t.test('the end writes what waits, and says what it could not', async (t) => {
    const audit = await open(t, { interval: 60_000 })
    audit.record(event())
    for (let index = 0; index < 5; index++) audit.count(denial())
    await audit.close()
    t.strictSame((await pool.query('SELECT sum(count)::int AS sum FROM audit_log')).rows, [{ sum: 6 }])
    const other = await open(t, { interval: 60_000 })
    other.record(event())
    database.isAway = true
    await other.close()
    database.isAway = false
    t.match(warnings.at(-1), { detail: { lost: 1 }, message: /are lost/ })
  })

  await t.test('what is older than the retention is removed', async (t) => {
    const audit = await open(t, { retention: 10 })
    audit.record(event({ at: Date.now() - 11 * 86_400_000 }))
    audit.record(event({ at: Date.now() - 9 * 86_400_000 }))
    await audit.flush()
    await audit.prune()
    t.equal((await audit.list(OPERATOR, {})).entries.length, 1)
  })
})
