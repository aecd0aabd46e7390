import t, { type Test } from 'tap'
import type { Queryable } from '../../services/database.js'
import { Delivery, type Consumer } from '../../services/events/consumer.js'
import { DeadLetters } from '../../services/events/dead-letters.js'
import { BEGINNING, eventId, type Event } from '../../services/events/event.js'
import { EventFeed, typeFilter } from '../../services/events/feed.js'
import { LocalWorker } from '../../services/events/local-worker.js'
import { Outbox } from '../../services/events/outbox.js'
import { Reader } from '../../services/events/reader.js'
import { retryDue } from '../../services/events/retries.js'
import { eventually as poll } from '../support/caches.js'
import { openDatabase } from '../support/database.js'
import { databaseUrl } from '../support/servers.js'

async function prepare (t: Test) {
  const { pool, database } = await openDatabase(t, await databaseUrl(t))
  const outbox = new Outbox({ database })
  t.teardown(async () => { await outbox.close() })
  const record = async (type: string, data: unknown = null, subject = 'things/1') => await database.transaction(async (transaction) => await outbox.record(transaction, { type, subject, data }))
  return { pool, database, outbox, record }
}

const eventually = async (holds: () => Promise<boolean> | boolean): Promise<void> => { await poll(holds, 'what is waited for', 20_000) }
const log = { warn: () => {} }
const onFault = (error: unknown): void => { throw error as Error }

/** Counts in the database what it does: what is done twice shows. */
class Counter implements Consumer {
  readonly name: string
  attempts = 0
  readonly #fails: (event: Event, attempt: number) => boolean

  constructor (name: string, fails: (event: Event, attempt: number) => boolean = () => false) {
    this.name = name
    this.#fails = fails
  }

  handles (type: string): boolean { return type !== 'ignored' }

  async handle (event: Event, transaction: Queryable): Promise<void> {
    await transaction.query({ text: 'INSERT INTO effects (consumer, event_id) VALUES ($1, $2)', values: [this.name, event.id] })
    if (this.#fails(event, ++this.attempts)) throw new Error('this one is poison')
  }
}

async function effects (database: Queryable, consumer: string): Promise<string[]> {
  const { rows } = await database.query<{ event_id: string }>({ text: 'SELECT event_id FROM effects WHERE consumer = $1 ORDER BY at', values: [consumer] })
  return rows.map((row) => row.event_id)
}

t.test('events', async (t) => {
  const { pool, database, outbox, record } = await prepare(t)
  await database.query('CREATE TABLE effects (at bigint GENERATED ALWAYS AS IDENTITY, consumer text, event_id uuid)')

  await t.test('are there with their transaction, and not without it', async (t) => {
    const recorded = await record('thing.made', { text: 'a\u0000b\ud800', n: 1 })
    t.match(recorded, { specversion: '1.0', source: '/larder', type: 'thing.made', subject: 'things/1', datacontenttype: 'application/json' })
    await t.rejects(database.transaction(async (transaction) => {
      await outbox.record(transaction, { type: 'thing.unmade', subject: 'things/1', data: null })
      throw new Error('no')
    }), { message: 'no' })
    const found = await outbox.after(BEGINNING, 10)
    t.strictSame(found.map(({ event }) => event), [recorded])
    t.strictSame(await outbox.get(recorded.id), recorded)
  })

  await t.test('about one subject are counted in the order in which they happened, whoever is first to begin', async (t) => {
    const early = await pool.connect()
    await early.query('BEGIN')
    await early.query('SELECT pg_current_xact_id()')
    const first = await record('counted', null, 'counted/1')
    const second = await outbox.record({ query: async (statement) => early.query(statement as never) }, { type: 'counted', subject: 'counted/1', data: null })
    const third = record('counted', null, 'counted/1')
    t.equal((await record('counted', null, 'counted/2')).sequence, 1, 'nobody waits for another subject')
    await early.query('COMMIT')
    early.release()
    t.strictSame([first.sequence, second.sequence, (await third).sequence], [1, 2, 3])
    const told = (await outbox.after(BEGINNING, 100)).filter(({ event }) => event.subject === 'counted/1').map(({ event }) => event.sequence)
    t.strictSame(told, [2, 1, 3], 'that an earlier transaction did it later is told')
  })

  await t.test('of a transaction that commits later are not passed over', async (t) => {
    const from = await outbox.last() ?? BEGINNING
    const slow = await pool.connect()
    await slow.query('BEGIN')
    const first = await outbox.record({ query: async (statement) => slow.query(statement as never) }, { type: 'slow', subject: 's', data: null })
    const second = await record('quick')
    t.strictSame(await outbox.after(from, 10), [], 'what came after it waits for it')
    await slow.query('COMMIT')
    slow.release()
    t.strictSame((await outbox.after(from, 10)).map(({ event }) => event.id), [first.id, second.id])
  })

  await t.test('are done once by each consumer, however often they come', async (t) => {
    const delivery = new Delivery({ database, log })
    const [one, other] = [new Counter('one'), new Counter('other')]
    const event = await record('done.once')
    const outcomes = await Promise.all([one, one, other, one, other].map(async (consumer) => await delivery.deliver(consumer, event)))
    t.strictSame(outcomes.sort(), ['done', 'done', 'done before', 'done before', 'done before'])
    t.strictSame(await effects(database, 'one'), [event.id])
    t.strictSame(await effects(database, 'other'), [event.id])
    t.equal(await delivery.deliver(one, await record('ignored')), 'done')
    t.equal(one.attempts, 1)
  })

  await t.test('that the database does not have are passed over, and told of', async (t) => {
    const warnings: object[] = []
    const delivery = new Delivery({ database, log: { warn: (detail) => { warnings.push(detail) } } })
    const consumer = new Counter('one')
    const lost = { ...await record('lost'), id: eventId() }
    t.equal(await delivery.deliver(consumer, lost), 'unknown')
    t.equal(await delivery.fail('one', lost, new Error('Whoever began this never finished it'), { isFinal: true, attempts: 5 }), 'unknown')
    t.equal(consumer.attempts, 0)
    t.match(warnings, [{ consumer: 'one', event: lost.id }, { consumer: 'one', event: lost.id }])
  })

  await t.test('that fail are tried again without their effects, and set aside in the end', async (t) => {
    const dead: string[] = []
    const delivery = new Delivery({ database, log, backOff: 1, maxAttempts: 3, onDead: (_, { id }) => { dead.push(id) } })
    const consumer = new Counter('failing', ({ type }, attempt) => type === 'poison' || attempt === 1)
    const shaky = await record('shaky')
    t.equal(await delivery.deliver(consumer, shaky), 'failed')
    t.strictSame(await effects(database, 'failing'), [], 'an attempt that failed has none')
    await eventually(async () => {
      await retryDue({ consumers: [consumer], delivery, outbox })
      return (await effects(database, 'failing')).length === 1
    })

    const poison = await record('poison')
    t.equal(await delivery.deliver(consumer, poison), 'failed')
    await eventually(async () => {
      await retryDue({ consumers: [consumer], delivery, outbox })
      return dead.length === 1
    })
    t.strictSame(dead, [poison.id])
    const letters = new DeadLetters(database)
    const { letters: [letter] } = await letters.list({})
    t.match(letter, { consumer: 'failing', attempts: 3, error: 'this one is poison', event: { id: poison.id, type: 'poison' } })

    const cured = new Counter('failing')
    await letters.retry(letter?.id ?? '')
    await t.rejects(letters.retry(letter?.id ?? ''), { code: 'ERR_NOT_FOUND' }, 'it is none any more')
    await eventually(async () => {
      await retryDue({ consumers: [cured], delivery, outbox })
      return (await effects(database, 'failing')).includes(poison.id)
    })
    t.strictSame((await letters.list({})).letters, [])

    const hopeless = await record('poison')
    await delivery.fail('failing', hopeless, new Error('hopeless'), { isFinal: true })
    const { letters: [given] } = await letters.list({})
    await letters.remove(given?.id ?? '')
    t.strictSame((await letters.list({})).letters, [])
    t.equal(await delivery.deliver(cured, hopeless), 'done before', 'what a person has given up does not come again')
    await t.rejects(letters.remove(given?.id ?? ''), { code: 'ERR_NOT_FOUND' })
  })

  await t.test('a fault of the database is no fault of the event', async (t) => {
    const delivery = new Delivery({ database, log })
    const consumer: Consumer = { name: 'away', handles: () => true, handle: () => Promise.reject(Object.assign(new Error('away'), { statusCode: 503 })) }
    const event = await record('kept')
    await t.rejects(delivery.deliver(consumer, event), { message: 'away' })
    t.equal(await delivery.deliver(new Counter('away'), event), 'done')
  })

  await t.test('a worker does all in order, past a poisonous one, and goes on where it stopped', async (t) => {
    const delivery = new Delivery({ database, log, backOff: 1, maxAttempts: 2 })
    const work = async (consumer: Consumer) => {
      const worker = new LocalWorker({ consumers: [consumer], delivery, outbox, reader: (name) => new Reader(database, outbox, `test:${name}`), onFault })
      await worker.start()
      return worker
    }
    const poisoned = new Counter('worker', ({ type }) => type === 'poison for the worker')
    const first = await work(poisoned)
    const before: Event[] = []
    for (let i = 0; i < 20; i++) before.push(await record(i === 7 ? 'poison for the worker' : `work.${i}`))
    first.wake()
    const wanted = before.filter(({ type }) => type !== 'poison for the worker').map(({ id }) => id)
    await eventually(async () => (await effects(database, 'worker')).filter((id) => wanted.includes(id)).length === wanted.length)
    await first.stop()
    const meanwhile = [await record('meanwhile'), await record('meanwhile')]
    const second = await work(new Counter('worker'))
    await eventually(async () => (await effects(database, 'worker')).includes(meanwhile[1]?.id ?? ''))
    await second.stop()
    const done = (await effects(database, 'worker')).filter((id) => [...wanted, ...meanwhile.map((event) => event.id)].includes(id))
    t.strictSame(done, [...wanted, ...meanwhile.map(({ id }) => id)], 'each once, in order')
  })

  await t.test('an event at which the process ends again and again is set aside', async (t) => {
    const delivery = new Delivery({ database, log, maxAttempts: 2 })
    const event = await record('ends the process')
    const reader = new Reader(database, outbox, 'test:ending')
    await reader.prepare()
    await database.query({ text: 'UPDATE event_readers SET (xid, position) = (SELECT xid, position - 1 FROM events WHERE id = $1) WHERE name = $2', values: [event.id, 'test:ending'] })
    for (let start = 1; start <= 2; start++) {
      const life = new Reader(database, outbox, 'test:ending')
      t.match(await life.begin(), { recorded: { event: { id: event.id } }, attempts: start })
      t.match(await life.begin(), { attempts: start }, 'what could not be finished for other reasons is not counted')
    }
    const worker = new LocalWorker({ consumers: [new Counter('ending')], delivery, outbox, reader: (name) => new Reader(database, outbox, `test:${name}`), onFault })
    await worker.start()
    await eventually(async () => (await new DeadLetters(database).list({})).letters.some((letter) => letter.event.id === event.id))
    await worker.stop()
    t.strictSame(await effects(database, 'ending'), [])
  })

  await t.test('listeners get what comes after their place, each at its own pace', async (t) => {
    const feed = new EventFeed(outbox, onFault)
    feed.start()
    const from = await outbox.last() ?? BEGINNING
    const ended = new AbortController()
    const heard: string[] = []
    const listening = (async () => { for await (const event of feed.after(from, ended.signal)) heard.push(event.id) })()
    const sent = []
    for (let i = 0; i < 250; i++) sent.push((await record('live')).id)
    await eventually(() => heard.length >= 250)
    t.strictSame(heard, sent)
    ended.abort()
    await listening
    await feed.stop()
  })

  await t.test('old ones go, but for those that somebody has to do again', async (t) => {
    const failed = await record('old and failed')
    await new Delivery({ database, log }).deliver(new Counter('last', () => true), failed)
    await record('old')
    await outbox.prune(new Date(Date.now() + 60_000), 10_000, [])
    const { rows } = await database.query<{ type: string }>('SELECT type FROM events')
    t.ok(rows.some(({ type }) => type === 'old and failed'))
    t.notOk(rows.some(({ type }) => type === 'old'))
  })

  await t.test('old ones stay until each consumer has done them', async (t) => {
    const delivery = new Delivery({ database, log })
    const late = await record('late')
    const kept = async () => {
      await outbox.prune(new Date(Date.now() + 60_000), 10_000, ['one', 'other'])
      return await outbox.get(late.id) !== undefined
    }
    t.ok(await kept())
    await delivery.deliver(new Counter('one'), late)
    t.ok(await kept())
    await delivery.deliver(new Counter('other'), late)
    t.notOk(await kept())
  })

  await t.test('a subject is counted on while one of its events is kept, and begins anew after that', async (t) => {
    const kept = await record('failed', null, 'pruned/1')
    await new Delivery({ database, log }).deliver(new Counter('failing again', () => true), kept)
    await record('old', null, 'pruned/2')
    await record('old', null, 'pruned/3')
    const soon = () => new Date(Date.now() + 60_000)
    t.equal(await outbox.prune(soon(), 1, []), 1, 'more than one is too old')
    t.equal((await record('young', null, 'pruned/3')).sequence, 2, 'what could not be removed at once counts')
    await outbox.prune(soon(), 10_000, [])
    t.equal((await record('young', null, 'pruned/1')).sequence, 2, 'what has failed counts')
    t.equal((await record('young', null, 'pruned/2')).sequence, 1)
  })
})

t.test('types are named by patterns', async (t) => {
  const wanted = typeFilter('recipe.*, product.created')
  t.strictSame(['recipe.created', 'product.created', 'product.deleted', 'recipes'].map(wanted), [true, true, false, false])
  t.ok(typeFilter(undefined)('anything'))
})

t.test('ids sort by time', async (t) => {
  t.match(eventId(), /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  t.ok(eventId(1000) < eventId(2000))
})
