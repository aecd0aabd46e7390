import pg from 'pg'
import t from 'tap'
import { Database } from '../../services/database.js'
import { fromDatabase } from '../../services/database/errors.js'
import { ConflictError, InvalidInputError, NotFoundError, UnavailableError } from '../../services/errors.js'
import { eventually } from '../support/caches.js'
import { databaseUrl } from '../support/servers.js'

t.test('a database', async (t) => {
  const url = await databaseUrl(t)
  const pool = new pg.Pool({ connectionString: url, max: 2, connectionTimeoutMillis: 200, query_timeout: 1000 })
  pool.on('connect', (client) => { client.on('error', () => {}) })
  pool.on('error', () => {})
  t.teardown(() => pool.end())
  const database = new Database(pool)
  await database.query('CREATE TABLE numbers (n int PRIMARY KEY CHECK (n < 100))')
  const insert = (n: number) => ({ text: 'INSERT INTO numbers VALUES ($1)', values: [n] })
  const count = async () => (await database.query<{ n: number }>('SELECT count(*)::int AS n FROM numbers')).rows[0]?.n

  t.test('commits a transaction that returns, and answers what it returned', async (t) => {
    t.equal(await database.transaction(async (transaction) => {
      await transaction.query(insert(1))
      return 'done'
    }), 'done')
    t.equal(await count(), 1)
  })

  t.test('rolls back a transaction that throws, with the error as it was', async (t) => {
    const error = new NotFoundError('Not this one.')
    await t.rejects(database.transaction(async (transaction) => {
      await transaction.query(insert(2))
      throw error
    }), error)
    t.equal(await count(), 1)
  })

  t.test('does not take a failed transaction for a committed one', async (t) => {
    await t.rejects(database.transaction(async (transaction) => {
      await transaction.query(insert(3))
      await transaction.query(insert(1)).catch(() => {})
    }), /failed before its commit/)
    t.equal(await count(), 1)
  })

  t.test('reports violated constraints as conflicts and bad values as bad input, without SQL', async (t) => {
    await t.rejects(database.query(insert(1)), ConflictError)
    await t.rejects(database.query(insert(100)), InvalidInputError)
    const fault = await database.query({ text: 'SELECT $1::int', values: ['secret'] }).then(() => undefined, (error: Error) => error)
    t.type(fault, InvalidInputError)
    t.notMatch(fault?.message, /secret|SELECT/)
    await t.rejects(database.query('SELEC'), { code: '42601' })
  })

  t.test('is unavailable while every connection is taken', async (t) => {
    const held = await Promise.all([pool.connect(), pool.connect()])
    await t.rejects(database.ping(), UnavailableError)
    await t.rejects(database.transaction(async () => {}), UnavailableError)
    for (const client of held) client.release()
    await database.ping()
  })

  t.test('is unavailable when the connection is lost, also within a transaction, and again available then', async (t) => {
    const suicide = 'SELECT pg_terminate_backend(pg_backend_pid())'
    await t.rejects(database.query(suicide), UnavailableError)
    await t.rejects(database.transaction(async (transaction) => {
      await transaction.query(insert(4))
      await transaction.query(suicide)
    }), UnavailableError)
    t.equal(await count(), 1)
  })

  t.test('is unavailable when a statement takes too long', async (t) => {
    await t.rejects(database.query('SELECT pg_sleep(5)'), UnavailableError)
    await t.rejects(database.query('SET statement_timeout = 10; SELECT pg_sleep(5)'), UnavailableError)
  })

  t.test('has the server give up what nobody waits for any more', async (t) => {
    const other = new pg.Client(url)
    await other.connect()
    const patient = new pg.Pool({ connectionString: url, max: 2 })
    t.teardown(async () => {
      await other.end()
      await patient.end()
    })
    const database = new Database(patient)
    const waiting = async (n: number) => {
      // Within a transaction it stays as it was first looked at.
      await eventually(async () => (await pool.query(`
        SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)).rowCount === n, `${n} waiting for a lock`)
    }
    await other.query('BEGIN; LOCK TABLE numbers')
    for (const work of [
      async (signal: AbortSignal) => await database.transaction(async (transaction) => await transaction.query(insert(50)), { signal }),
      async (signal: AbortSignal) => await database.query(insert(50), { signal }),
      async (signal: AbortSignal) => await database.query('SELECT FROM numbers', { signal })
    ]) {
      const gone = new AbortController()
      const refused = t.rejects(work(gone.signal), { message: 'gone' })
      await waiting(1)
      gone.abort(new Error('gone'))
      await refused
      await waiting(0)
    }
    await other.query('COMMIT')
    t.strictSame((await database.query('SELECT n FROM numbers WHERE n = 50')).rows, [])
  })
})

t.test('faults of the connection are 503, mistakes stay what they are', async (t) => {
  const coded = (code: string) => Object.assign(new Error('postgres://user:secret@host/db'), { code })
  for (const code of ['08006', '57P01', '57P03', '53300', '40001', '40P01', '55P03', '25006', '28P01', '3D000', 'ECONNREFUSED', 'EPIPE', 'ETIMEDOUT']) {
    const fault = fromDatabase(coded(code))
    t.type(fault, UnavailableError, code)
    t.notMatch((fault as Error).message, 'secret')
  }
  t.type(fromDatabase(new Error('Connection terminated unexpectedly')), UnavailableError)
  t.match(fromDatabase(coded('08006')), { statusCode: 503, retryAfter: 1 })
  const mistakes = [new TypeError('x is not a function'), coded('42P01'), coded('XX000'), new NotFoundError('x'), 'text', undefined]
  for (const mistake of mistakes) t.equal(fromDatabase(mistake), mistake)
})
