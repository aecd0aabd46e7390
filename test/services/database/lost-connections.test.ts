import pg from 'pg'
import t, { type Test } from 'tap'
import { DEFAULT_POLICY, Retry } from '../../../services/cache/retry.js'
import { Database, type DatabaseOptions, type Queryable } from '../../../services/database.js'
import { CommitUnknownError } from '../../../services/database/errors.js'
import { migrate } from '../../../services/database/migrations.js'
import { ConflictError, UnavailableError } from '../../../services/errors.js'
import { Outbox } from '../../../services/events/outbox.js'
import { eventually } from '../../support/caches.js'
import { type Moment, Proxy } from '../../support/proxy.js'
import { databaseUrl } from '../../support/servers.js'

t.test('a database whose connections are lost', async (t) => {
  const url = await databaseUrl(t)
  const proxy = await Proxy.start(t, Number(new URL(url).port))
  const direct = new pg.Client(url)
  await direct.connect()
  t.teardown(() => direct.end())
  await migrate(direct, { sampleData: 'never' })
  await direct.query('CREATE TABLE orders (n int, attempt int)')
  const pool = new pg.Pool({ connectionString: proxy.through(url), max: 3, connectionTimeoutMillis: 1000, query_timeout: 3000 })
  pool.on('connect', (client) => { client.on('error', () => {}) })
  pool.on('error', () => {})
  t.teardown(() => pool.end())
  const open = (options: DatabaseOptions = {}) => new Database(pool, {
    connections: 3, findsCommits: true, retry: new Retry({ dependency: 'postgres', policy: { ...DEFAULT_POLICY, baseDelay: 5 } }), ...options
  })
  const count = async (n: number) => Number((await direct.query<{ count: string }>('SELECT count(*) FROM orders WHERE n = $1', [n])).rows[0]?.count)
  const insert = (n: number, attempt = 0) => ({ text: 'INSERT INTO orders VALUES ($1, $2)', values: [n, attempt] })
  let next = 0

  /** Puts one order in, and says how often `work` ran. */
  async function order (database: Database, how: (transaction: Queryable, n: number) => Promise<unknown> = async () => {}) {
    const n = ++next
    let attempts = 0
    const outcome = await database.transaction(async (transaction) => {
      await transaction.query(insert(n, ++attempts))
      await how(transaction, n)
      return 'stored'
    }).catch((error: unknown) => error)
    return { n, attempts, outcome, stored: await count(n) }
  }

  t.test('begins a transaction anew that was lost before its commit', async (t) => {
    const database = open()
    for (const statement of [/^BEGIN/, /^INSERT INTO orders/, /^larder_commit$/]) {
      for (const moment of ['before', 'during', 'after'] as Moment[]) {
        proxy.cut({ statement, moment })
        t.match(await order(database), { outcome: 'stored', stored: 1 }, `${moment} ${statement}`)
      }
    }
    t.equal(proxy.cuts, 9)
    t.strictSame(database.lostCommits, { committed: 0, aborted: 0, unknown: 0 })
  })

  t.test('finds out what became of a commit whose answer was lost', async (t) => {
    const database = open()
    proxy.cut({ statement: /^COMMIT/, moment: 'before' })
    t.match(await order(database), { outcome: 'stored', attempts: 2, stored: 1 }, 'it did not arrive')
    t.match(database.lostCommits, { aborted: 1 })
    proxy.cut({ statement: /^COMMIT/, moment: 'after' })
    t.match(await order(database), { outcome: 'stored', attempts: 1, stored: 1 }, 'it was made, and is not made again')
    t.match(database.lostCommits, { committed: 1 })
    for (let round = 0; round < 10; round++) {
      proxy.cut({ statement: /^COMMIT/, moment: 'during' })
      t.match(await order(database), { outcome: 'stored', stored: 1 }, 'nobody can say')
    }
    t.equal(database.lostCommits.unknown, 0)
  })

  t.test('finds it out of as many as there are connections, which look on others', async (t) => {
    const database = open({ retry: new Retry({ dependency: 'postgres', policy: { ...DEFAULT_POLICY, deadline: 2000 } }) })
    proxy.cut({ statement: /^COMMIT/, moment: 'after', times: 3 })
    let arrived = 0
    const results = await Promise.all([1, 2, 3].map(async () => await order(database, async () => {
      arrived++
      await eventually(() => arrived >= 3, 'every connection is in use')
    })))
    for (const result of results) t.match(result, { outcome: 'stored', attempts: 1, stored: 1 })
    t.strictSame(database.lostCommits, { committed: 3, aborted: 0, unknown: 0 })
    t.match(database.connections, { used: 0, waiting: 0 })
  })

  t.test('finds it out, or says that it cannot, also when its caller is gone meanwhile', async (t) => {
    const database = open({ retry: new Retry({ dependency: 'postgres', policy: { ...DEFAULT_POLICY, deadline: 300 } }) })
    const lose = (then = () => {}) => {
      const gone = new AbortController()
      const n = ++next
      proxy.cut({ statement: /^COMMIT/, moment: 'after', then: () => { gone.abort(new Error('gone')); then() } })
      return { n, storing: database.transaction(async (transaction) => { await transaction.query(insert(n)); return 'stored' }, { signal: gone.signal }) }
    }
    t.equal(await lose().storing, 'stored')
    const { n, storing } = lose(() => { proxy.down() })
    await t.rejects(storing, CommitUnknownError)
    proxy.down(false)
    t.equal(await count(n), 1)
  })

  t.test('finds it out by what was recorded with it, without asking for it before', async (t) => {
    const database = open()
    const outbox = new Outbox({ database })
    t.teardown(() => outbox.close())
    const before = proxy.statements.length
    for (const moment of ['before', 'after'] as Moment[]) {
      proxy.cut({ statement: /^COMMIT/, moment })
      const result = await order(database, async (transaction, n) => await outbox.record(transaction, { type: 'order.made', subject: `orders/${n}`, data: {} }))
      t.match(result, { outcome: 'stored', stored: 1 })
      t.equal((await direct.query('SELECT FROM events WHERE subject = $1', [`orders/${result.n}`])).rowCount, 1)
    }
    t.notOk(proxy.statements.slice(before).includes('larder_commit'))
  })

  t.test('waits for a commit that is under way, and ends one that nobody carries on', async (t) => {
    const database = open()
    // The server has the transaction open still, since it does not learn that the client is gone.
    const client = await pool.connect()
    client.release(true)
    proxy.cut({ statement: /^COMMIT/, moment: 'hanging' })
    t.match(await order(database), { outcome: 'stored', attempts: 2, stored: 1 })
  })

  t.test('says so when it cannot be found out in time', async (t) => {
    const database = open({ retry: new Retry({ dependency: 'postgres', policy: { ...DEFAULT_POLICY, deadline: 300 } }) })
    const result = order(database, async () => {
      proxy.cut({ statement: /^COMMIT/, moment: 'after', then: () => { proxy.down() } })
    })
    t.type((await result).outcome, CommitUnknownError)
    t.match(await result, { outcome: { statusCode: 503, code: 'ERR_COMMIT_UNKNOWN' }, stored: 1 })
    t.equal(database.lostCommits.unknown, 1)
    proxy.down(false)
  })

  t.test('takes nothing for committed after the server has crashed, unless what was recorded says it', async (t) => {
    const database = open()
    const result = order(database, async () => {
      proxy.cut({ statement: /^COMMIT/, moment: 'after' })
    })
    // As the tables are after a crash: ids may be given away again then.
    await direct.query('DELETE FROM server_life')
    t.type((await result).outcome, CommitUnknownError)
  })

  t.test('asks again what may be asked twice, and a write only where it was not sent, or is said to bear it', async (t) => {
    const database = open()
    for (const moment of ['before', 'during', 'after'] as Moment[]) {
      proxy.cut({ statement: /^SELECT 42/, moment })
      t.match((await database.query('SELECT 42 AS answer')).rows, [{ answer: 42 }])
    }
    const n = ++next
    proxy.cut({ statement: /^INSERT/, moment: 'before' })
    await t.rejects(database.query(insert(n)), UnavailableError)
    t.equal(await count(n), 0)
    proxy.cut({ statement: /^INSERT/, moment: 'after' })
    await t.rejects(database.query(insert(n)), UnavailableError)
    t.equal(await count(n), 1, 'it was made, which nobody knew')
    proxy.cut({ statement: /^UPDATE/, moment: 'after' })
    t.match(await database.query({ text: 'UPDATE orders SET attempt = 7 WHERE n = $1', values: [n] }, { repeatable: true }), { rowCount: 1 })
    proxy.down()
    await eventually(() => pool.totalCount === 0, 'the pool knows')
    setTimeout(() => { proxy.down(false) }, 20)
    const patient = open({ retry: new Retry({ dependency: 'postgres', policy: { ...DEFAULT_POLICY, attempts: 10, baseDelay: 40 }, random: () => 1 }) })
    await patient.query(insert(++next))
    t.equal(await count(next), 1, 'there was no connection to send it over')
  })

  t.test('is asked again after conflicts, which the server has undone', async (t) => {
    const database = open()
    await direct.query('INSERT INTO orders VALUES (-1, 0), (-2, 0)')
    const change = async (first: number, second: number) => await database.transaction(async (transaction) => {
      await transaction.query("SET LOCAL deadlock_timeout = '10ms'")
      await transaction.query({ text: 'UPDATE orders SET attempt = attempt + 1 WHERE n = $1', values: [first] })
      await new Promise((resolve) => { setTimeout(resolve, 20) })
      await transaction.query({ text: 'UPDATE orders SET attempt = attempt + 1 WHERE n = $1', values: [second] })
    })
    await Promise.all([change(-1, -2), change(-2, -1)])
    t.strictSame((await direct.query('SELECT attempt FROM orders WHERE n < 0 ORDER BY n')).rows, [{ attempt: 2 }, { attempt: 2 }])
  })

  t.test('is not asked again what would fail again', async (t) => {
    const database = open()
    await direct.query('CREATE UNIQUE INDEX orders_once ON orders (n) WHERE n > 1000')
    let attempts = 0
    await t.rejects(database.transaction(async (transaction) => {
      attempts++
      await transaction.query(insert(2000))
      await transaction.query(insert(2000))
    }), ConflictError)
    await t.rejects(database.transaction(async (transaction) => {
      attempts++
      await transaction.query('SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)')
    }), UnavailableError)
    await t.rejects(database.transaction(async (transaction) => { attempts++; await transaction.query('SELEC') }), { code: '42601' })
    t.equal(attempts, 3)
  })

  t.test('leaves a server alone that takes no connections, and is back soon after it does', async (t) => {
    const states: string[] = []
    const database = open({ onBreaker: (state) => { states.push(state) } })
    proxy.down()
    for (let at = 0; at < 10; at++) await t.rejects(database.query('SELECT 1'), UnavailableError)
    t.equal(database.breaker, 'open')
    const { attempts } = proxy
    for (let at = 0; at < 100; at++) await t.rejects(database.query('SELECT 1'), UnavailableError)
    t.ok(proxy.attempts - attempts <= 5, 'it is not asked meanwhile')
    proxy.down(false)
    await eventually(async () => await database.query('SELECT 1').then(() => true, () => false), 'it is back')
    t.equal(database.breaker, 'closed')
    t.strictSame([states[0], states.at(-1)], ['open', 'closed'])
  })

  /** Leaves the server alone, as after an outage. */
  async function afterOutage (t: Test): Promise<Database> {
    const database = open()
    proxy.down()
    while (database.breaker === 'closed') await t.rejects(database.query('SELECT 1'), UnavailableError)
    return database
  }

  t.test('serves all as soon as the server is back, whatever the first one waits for', async (t) => {
    const database = await afterOutage(t)
    proxy.down(false)
    const n = ++next
    await direct.query(insert(n))
    await direct.query('BEGIN')
    await direct.query({ text: 'UPDATE orders SET attempt = 1 WHERE n = $1', values: [n] })
    let hasBegun = false
    let isOver = false
    let changing: Promise<unknown> | undefined
    await eventually(async () => {
      changing ??= database.transaction(async (transaction) => {
        hasBegun = true
        await transaction.query({ text: 'UPDATE orders SET attempt = 2 WHERE n = $1', values: [n] })
        isOver = true
      }).catch(() => { changing = undefined })
      return hasBegun
    }, 'somebody waits for the row')
    t.match((await database.query('SELECT 42 AS answer')).rows, [{ answer: 42 }])
    t.notOk(isOver, 'which is locked still')
    await direct.query('COMMIT')
    await changing
    t.ok(isOver)
  })

  t.test('keeps nobody who is gone while it is seen whether the server is back', async (t) => {
    const database = await afterOutage(t)
    proxy.down(false)
    proxy.timeout()
    let seeing: Promise<unknown> = Promise.resolve()
    await eventually(() => {
      seeing = database.query('SELECT 1', { attempts: 1 }).catch((error: unknown) => error)
      return database.breaker === 'half-open'
    }, 'the server is looked at')
    const gone = new AbortController()
    const waiting = database.query('SELECT 1', { signal: gone.signal })
    gone.abort(new Error('gone'))
    await t.rejects(waiting, /gone/)
    t.equal(database.breaker, 'half-open')
    t.type(await seeing, UnavailableError)
    proxy.timeout(false)
    proxy.resetPeer()
    await eventually(async () => await database.query('SELECT 1').then(() => true, () => false), 'it is back')
    t.equal(database.connections.used, 0)
  })

  t.test('cuts waits when the caller is gone, and does nothing for it afterwards', async (t) => {
    const database = open({ connections: 1 })
    const gone = new AbortController()
    let letGo: (() => void) | undefined
    const holding = database.transaction(async () => { await new Promise<void>((resolve) => { letGo = resolve }) })
    await eventually(() => letGo !== undefined, 'the connection is taken')
    const waiting = database.query(insert(++next), { signal: gone.signal })
    gone.abort(new Error('gone'))
    await t.rejects(waiting, /gone/)
    t.equal(database.connections.waiting, 0)
    letGo?.()
    await holding
    const left = new AbortController()
    await t.rejects(database.transaction(async (transaction) => {
      await transaction.query(insert(next))
      left.abort(new Error('gone'))
    }, { signal: left.signal }), /gone/)
    t.equal(await count(next), 0, 'what was not committed is undone')
    t.equal((await direct.query("SELECT FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()")).rowCount, 0)
  })
})
