import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import pg from 'pg'
import t, { type Test } from 'tap'
import { Database } from '../../services/database.js'
import { migrate } from '../../services/database/migrations.js'
import { Delivery, type Consumer } from '../../services/events/consumer.js'
import { DeadLetters } from '../../services/events/dead-letters.js'
import { eventId } from '../../services/events/event.js'
import { Outbox } from '../../services/events/outbox.js'
import { Reader } from '../../services/events/reader.js'
import { eventStream, StreamWorker, type StreamWorkerOptions } from '../../services/events/stream-worker.js'
import { eventually } from '../support/caches.js'
import { databaseUrl, redisUrl, startPostgres, startRedis } from '../support/servers.js'

t.setTimeout(400_000)
const program = fileURLToPath(new URL('../fixtures/events-process.js', import.meta.url))

/** A database with the tables of events, and one in which a consumer's effects are counted. */
async function open (t: Test, url: string) {
  const pool = new pg.Pool({ connectionString: url, connectionTimeoutMillis: 2000, query_timeout: 4000 })
  pool.on('error', () => {}) // outages are what this is about
  pool.on('connect', (client) => { client.on('error', () => {}) })
  t.teardown(async () => { await pool.end() })
  const client = await pool.connect()
  await migrate(client, { sampleData: 'never' })
  await client.query('CREATE TABLE effects (event_id uuid NOT NULL)')
  client.release()
  const database = new Database(pool)
  const outbox = new Outbox({ database })
  t.teardown(async () => { await outbox.close() })
  const record = async (type = 'thing.made') => await database.transaction(async (transaction) => await outbox.record(transaction, { type, subject: 'things/1', data: null }))
  /** How many events have not exactly one effect, poison apart. */
  const faulty = async () => (await database.query<{ count: number }>(`
    SELECT count(*)::int AS count FROM (
      SELECT id FROM events LEFT JOIN effects ON event_id = id WHERE type <> 'poison' GROUP BY id HAVING count(event_id) <> 1) AS faulty`)).rows[0]!.count
  const settled = async (within = 60_000) => { await eventually(async () => await faulty().catch(() => 1) === 0, 'one effect of each', within) }
  return { database, outbox, record, faulty, settled }
}

function connect (t: Test, url: string): Redis {
  const redis = new Redis(url, {
    maxRetriesPerRequest: 1, commandTimeout: 1000, enableOfflineQueue: false, autoResendUnfulfilledCommands: false, enableAutoPipelining: true, retryStrategy: () => 50
  })
  redis.on('error', () => {})
  t.teardown(() => { redis.disconnect() })
  return redis
}

const effects = (poison: (type: string) => boolean = () => false): Consumer => ({
  name: 'effects',
  handles: () => true,
  async handle ({ id, type }, transaction) {
    await transaction.query({ text: 'INSERT INTO effects (event_id) VALUES ($1)', values: [id] })
    if (poison(type)) throw new Error('poison')
  }
})

interface Working { database: Database, outbox: Outbox, consumer?: Consumer, worker?: string, claimAfter?: number, onForeign?: StreamWorkerOptions['onForeign'] }

/** A worker in this process. */
async function work (t: Test, redis: Redis, { database, outbox, consumer = effects(), worker = 'here', claimAfter = 1000, onForeign = () => {} }: Working): Promise<StreamWorker> {
  const running = new StreamWorker({
    consumers: [consumer],
    delivery: new Delivery({ database, log: { warn: () => {} }, backOff: 10 }),
    outbox,
    relay: new Reader(database, outbox, 'relay'),
    redis,
    prefix: 'test:',
    worker,
    onFault: () => {},
    onForeign,
    claimAfter,
    settleWithin: 4000
  })
  await running.start()
  t.teardown(async () => { await running.stop() })
  return running
}

t.test('a process that is killed at any step loses no event and does none twice', async (t) => {
  const env = { DATABASE_URL: await databaseUrl(t), REDIS_URL: await redisUrl(t), CLAIM_AFTER: '500' }
  const { record, settled, database } = await open(t, env.DATABASE_URL)
  const run = (more: Record<string, string> = {}): ChildProcess => {
    const child = spawn(process.execPath, [program], { env: { PATH: process.env['PATH'], ...env, ...more }, stdio: ['ignore', 'ignore', 'inherit'] })
    t.teardown(() => { child.kill('SIGKILL') })
    return child
  }

  for (const FAULT of ['before-xadd', 'after-xadd', 'in-effect', 'before-xack']) {
    for (let i = 0; i < 60; i++) await record()
    // Two at a time, so that one goes on with what the other has begun.
    for (const AFTER of ['5', '20']) {
      const children = [run({ FAULT, AFTER }), run({ FAULT, AFTER })]
      const [[, signal]] = await Promise.race(children.map(async (child) => [await once(child, 'exit'), child])) as unknown as [[null, string]]
      t.equal(signal, 'SIGKILL', FAULT)
      for (const child of children) child.kill('SIGKILL')
    }
    const last = run()
    await settled()
    last.kill('SIGKILL')
  }
  t.strictSame((await new DeadLetters(database).list({})).letters, [], 'nor is one set aside')

  await t.test('nor does one event that kills whoever begins it take others along, or kill for ever', async (t) => {
    for (let i = 0; i < 20; i++) await record()
    const poison = await record('poison')
    for (let i = 0; i < 20; i++) await record()
    let deaths = 0
    const over = new AbortController()
    const keeping = (async () => {
      while (!over.signal.aborted) {
        const child = run()
        const ended = once(child, 'exit')
        await Promise.race([ended, once(over.signal, 'abort')])
        if (over.signal.aborted) child.kill('SIGKILL')
        else deaths++
      }
    })()
    const letters = new DeadLetters(database)
    await eventually(async () => (await letters.list({})).letters.length > 0, 'a dead letter', 120_000)
    await settled()
    over.abort()
    await keeping
    t.match((await letters.list({})).letters, [{ consumer: 'effects', attempts: 5, error: 'Whoever began this never finished it', event: { id: poison.id } }])
    t.equal((await letters.list({})).letters.length, 1)
    t.equal(deaths, 5)
  })
})

t.test('a poisonous event among a thousand, and what is no event of this database', async (t) => {
  const opened = await open(t, await databaseUrl(t))
  const { database, outbox, record, settled } = opened
  const redis = connect(t, await redisUrl(t))
  await once(redis, 'ready')
  let isCured = false
  const foreign: string[] = []
  await work(t, redis, {
    database, outbox, consumer: effects((type) => type === 'poison' && !isCured), onForeign: (_consumer, fields) => { foreign.push(fields.join(' ')) }
  })
  for (let i = 0; i < 500; i++) await record()
  const put = async (...fields: [string, string]) => { await redis.xadd(eventStream('test:'), '*', ...fields) }
  await put('event', 'no JSON')
  await put('event', 'null')
  await put('event', '{"id":"1"}')
  await put('other', '1')
  await put('event', JSON.stringify({ ...await record(), id: eventId() }))
  const poison = await record('poison')
  for (let i = 0; i < 499; i++) await record()
  await settled()
  t.strictSame(foreign.sort(), ['event no JSON', 'event null', 'event {"id":"1"}', 'other 1'])
  const letters = new DeadLetters(database)
  const list = async () => (await letters.list({})).letters
  await eventually(async () => (await list()).length === 1, 'the dead letter', 20_000)
  const [letter] = await list()
  t.match(letter, { attempts: 5, error: 'poison', event: { id: poison.id } })
  const done = async () => (await database.query({ text: 'SELECT FROM effects WHERE event_id = $1', values: [poison.id] })).rowCount
  t.equal(await done(), 0)
  isCured = true
  await letters.retry(letter!.id)
  await eventually(async () => await done() === 1, 'its effect', 20_000)
  t.strictSame(await list(), [])
})

t.test('servers that fail lose no event and have none done twice', async (t) => {
  const [server, postgres] = await Promise.all([startRedis(t), startPostgres(t)])
  const { database, outbox, record, settled } = await open(t, postgres.url)
  const redis = connect(t, server.url)
  await once(redis, 'ready')
  await work(t, redis, { database, outbox })
  await work(t, connect(t, server.url), { database, outbox, worker: 'there' })
  const acknowledged: string[] = []

  /** Records events all the while. */
  async function under (fault: () => Promise<unknown>): Promise<void> {
    const over = new AbortController()
    const load = (async () => {
      while (!over.signal.aborted) {
        await record().then(({ id }) => { acknowledged.push(id) }, () => {})
        await sleep(5)
      }
    })()
    await sleep(300)
    await fault()
    await sleep(300)
    over.abort()
    await load
    await settled()
  }
  const admin = async (...command: string[]) => {
    const client = new Redis(server.url)
    await client.call(...command as [string])
    client.disconnect()
  }

  await t.test('Redis is emptied', async () => { await under(async () => { for (let i = 0; i < 3; i++) { await admin('FLUSHALL'); await sleep(300) } }) })
  await t.test('Redis ends every connection five times a second', async () => {
    await under(async () => { for (let i = 0; i < 10; i++) { await admin('CLIENT', 'KILL', 'TYPE', 'normal').catch(() => {}); await sleep(200) } })
  })
  await t.test('Redis is killed, and comes back empty', async () => { await under(async () => { await server.kill(); await sleep(1000); await server.restart() }) })
  await t.test('Redis hangs', async () => { await under(async () => { server.pause(); await sleep(1500); server.resume() }) })
  await t.test('PostgreSQL is restarted', async () => { await under(async () => { await postgres.restart() }) })
  await t.test('PostgreSQL is restarted at once, as after a crash', async () => {
    await under(async () => {
      process.kill(postgres.pid as number, 'SIGQUIT')
      await postgres.restart()
    })
  })
  const { rows } = await database.query<{ id: string }>('SELECT id FROM events')
  const ids = new Set(rows.map(({ id }) => id))
  t.ok(acknowledged.length > 100)
  t.strictSame(acknowledged.filter((id) => !ids.has(id)), [], 'what was acknowledged is there')
  t.strictSame((await new DeadLetters(database).list({})).letters, [], 'none is set aside for what was no fault of its own')
})
