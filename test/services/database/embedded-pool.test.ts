import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import SQL from '@nearform/sql'
import pg from 'pg'
import t from 'tap'
import { openEmbedded } from '../../../services/database/embedded.js'
import { embeddedPg } from '../../../services/database/embedded-pool.js'
import { databaseUrl, type Owner } from '../../support/servers.js'

/** Every test here runs on a PostgreSQL server through `pg` as well: the embedded pool answers as `pg` does. */
const kinds = {
  'a server': async (owner: Owner) => {
    const pool = new pg.Pool({ connectionString: await databaseUrl(owner) })
    // The database is dropped while the last connections are still closing.
    pool.on('connect', (client) => { client.on('error', () => {}) })
    return pool
  },
  'the embedded database': async (owner: Owner) => {
    const folder = mkdtempSync(join(tmpdir(), 'larder-'))
    const embedded = await openEmbedded(folder)
    owner.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
    const { Pool } = embeddedPg(embedded.db, () => embedded.close())
    return new Pool()
  }
}

for (const [kind, open] of Object.entries(kinds)) {
  t.test(`on ${kind}`, async (t) => {
    const pool = await open(t)
    t.teardown(() => pool.end())

    t.test('values go in and come out as pg has them', async (t) => {
      const statement = SQL`SELECT ${'text'}::text AS text, ${7}::int AS int, ${'9007199254740993'}::int8 AS int8,
        ${'1.50'}::numeric AS numeric, ${1.5}::float8 AS float8, ${true}::boolean AS boolean, ${null}::text AS nothing,
        ${Buffer.from([0, 1, 255])}::bytea AS bytea, ${JSON.stringify({ a: [1] })}::jsonb AS jsonb, ${{ b: 2 }}::json AS json,
        ${new Date(0)}::timestamptz AS moment, ${['a', 'b"\\', null]}::text[] AS texts, ${[1, 2]}::int[] AS ints`
      const { rows } = await pool.query(statement)
      t.strictSame(rows, [{
        text: 'text',
        int: 7,
        int8: '9007199254740993',
        numeric: '1.50',
        float8: 1.5,
        boolean: true,
        nothing: null,
        bytea: Buffer.from([0, 1, 255]),
        jsonb: { a: [1] },
        json: { b: 2 },
        moment: new Date(0),
        texts: ['a', 'b"\\', null],
        ints: [1, 2]
      }])
    })

    t.test('half surrogate pairs become U+FFFD and NUL is an error, and neither disturbs what follows', async (t) => {
      const { rows } = await pool.query('SELECT $1::text AS a, $2::text AS b', ['\uD83D', 'ä\uDE00ü'])
      t.strictSame(rows, [{ a: '\uFFFD', b: 'ä\uFFFDü' }])
      await t.rejects(pool.query('SELECT $1::text', ['a\0b']), { code: '22021' })
      t.strictSame((await pool.query('SELECT $1::text AS a', ['ok'])).rows, [{ a: 'ok' }])
    })

    t.test('results say the command and the number of rows', async (t) => {
      await pool.query('CREATE TABLE counted (id int PRIMARY KEY)')
      t.match(await pool.query('INSERT INTO counted VALUES ($1), ($2)', [1, 2]), { command: 'INSERT', rowCount: 2 })
      t.match(await pool.query('SELECT * FROM counted'), { command: 'SELECT', rowCount: 2, fields: [{ name: 'id' }] })
      t.match(await pool.query('DELETE FROM counted WHERE id = $1', [9]), { command: 'DELETE', rowCount: 0 })
      t.match(await pool.query({ text: 'SELECT 1 AS a, $1::int AS b', values: [2], rowMode: 'array' }), { rows: [[1, 2]] })
      t.match(await pool.query('SELECT 1; SELECT 2 AS b'), [{ rowCount: 1 }, { rows: [{ b: 2 }] }])
    })

    t.test('errors carry their SQLSTATE and no statement, and leave the connection usable', async (t) => {
      await pool.query('CREATE TABLE unique_ones (id int CONSTRAINT only_once PRIMARY KEY)')
      await pool.query('INSERT INTO unique_ones VALUES (1)')
      const error = await pool.query('INSERT INTO unique_ones VALUES ($1)', [1]).then(() => undefined, (error: unknown) => error)
      t.match(error, { code: '23505', constraint: 'only_once' })
      t.notMatch(Object.keys(error as Error), ['query', 'params'])
      await t.rejects(pool.query('SELECT $1::int', ['x']), { code: '22P02' })
      await t.rejects(pool.query('SELEC'), { code: '42601' })
      t.strictSame((await pool.query('SELECT count(*)::int AS n FROM unique_ones')).rows, [{ n: 1 }])
    })

    t.test('a transaction and twenty queries beside it all get through', async (t) => {
      await pool.query('CREATE TABLE busy (id int)')
      const client = await pool.connect()
      await client.query('BEGIN')
      const beside = Array.from({ length: 20 }, async (_, id) => await pool.query('INSERT INTO busy VALUES ($1)', [id]))
      await client.query('INSERT INTO busy VALUES (100)')
      await client.query('ROLLBACK')
      client.release()
      await Promise.all(beside)
      t.strictSame((await pool.query('SELECT count(*)::int AS n FROM busy')).rows, [{ n: 20 }])
    })

    t.test('statements of one client run in the order given, without waiting for each other', async (t) => {
      const client = await pool.connect()
      t.teardown(() => { client.release() })
      const results = await Promise.all([1, 2, 3].map(async (n) => (await client.query<{ n: number }>('SELECT $1::int AS n', [n])).rows[0]?.n))
      t.strictSame(results, [1, 2, 3])
    })

    t.test('callbacks work, as @fastify/postgres uses them', (t) => {
      pool.connect((error, client, done) => {
        t.notOk(error)
        client?.query('SELECT 1 AS a', (error, result) => {
          t.notOk(error)
          t.strictSame(result.rows, [{ a: 1 }])
          done()
          t.end()
        })
      })
    })

    t.test('a client is released once, and not used afterwards', async (t) => {
      const client = await pool.connect()
      client.release()
      t.throws(() => { client.release() }, /already been released/)
    })
  })
}

t.test('the embedded pool rolls back what a client leaves open', async (t) => {
  const pool = await kinds['the embedded database'](t)
  await pool.query('CREATE TABLE left_open (id int)')
  const client = await pool.connect()
  await client.query('BEGIN; INSERT INTO left_open VALUES (1)')
  client.release()
  t.strictSame((await pool.query('SELECT count(*)::int AS n FROM left_open')).rows, [{ n: 0 }])
  await pool.end()
  await t.rejects(pool.query('SELECT 1'), /after calling end/)
})
