import { hostname } from 'node:os'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { AuditConsumer } from '../services/events/audit-consumer.js'
import { BreakerEvents } from '../services/events/breaker-events.js'
import { CacheConsumer } from '../services/events/cache-consumer.js'
import { type Around, Delivery, type Consumer } from '../services/events/consumer.js'
import { DeadLetters } from '../services/events/dead-letters.js'
import { EventFeed } from '../services/events/feed.js'
import { LocalWorker } from '../services/events/local-worker.js'
import { Loop } from '../services/events/loop.js'
import { Outbox } from '../services/events/outbox.js'
import { Reader } from '../services/events/reader.js'
import { streamLag } from '../services/events/stream-lag.js'
import { eventStream, StreamWorker } from '../services/events/stream-worker.js'
import type { Sample } from '../services/metrics.js'
import type { Tracing } from '../services/tracing/tracing.js'
import type {} from './cache.js'
import type {} from './postgres.js'
import type {} from './retry.js'
import type {} from './tracing.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Records events in the transaction of what they are about. */
    outbox: Outbox
    /** Live events for listeners. */
    eventFeed: EventFeed
    deadLetters: DeadLetters
    /** What is done about events; a plugin adds its own before the service is ready. */
    eventConsumers: Consumer[]
  }
}

export interface EventsOptions {
  /** Whether this process does what is to be done about events. Default true. */
  worker?: boolean
  /** Milliseconds after which what a worker has begun and not finished goes to another. Default 30 000. */
  claimAfter?: number
  /** Days that an event is kept for listeners who were away. Default 7. */
  retention?: number
}

const DAY = 86_400_000
/** Milliseconds between looks for what is too old. */
const PRUNING = 3_600_000
const PRUNED = 1000
/** Milliseconds between looks at how late events are. */
const MEASURING = 5000
/** Characters of what is no event that are logged. */
const SHOWN = 100
/** Milliseconds for which a fault is not told again: each loop meets an outage by itself. */
const SAME_FAULT = 10_000
/** Begins the names of keys in Redis. */
const PREFIX = 'larder:'

/**
 * Events over an outbox (`app.outbox`), consumed over a Redis stream where there is Redis, else by this process alone. Nothing depends on
 * a worker being there: what happens meanwhile waits.
 */
export default fp<EventsOptions>(async function events (app, { worker = true, claimAfter, retention = 7 }) {
  const { database, tracing } = app
  const redis = app.redis as FastifyInstance['redis'] | undefined
  const told = { fault: '', at: -Infinity }
  const onFault = (err: unknown): void => {
    const fault = String(err)
    const now = performance.now()
    const isTold = told.fault === fault && now - told.at < SAME_FAULT
    if (!isTold) Object.assign(told, { fault, at: now })
    app.log[isTold ? 'debug' : 'warn']({ err }, 'events wait: what they need is away')
  }
  let wake = (): void => {}

  const outbox = new Outbox({ database, onRecorded: () => { wake() }, onFault, ...(tracing && { traceparent: () => tracing.traceparent() }) })
  const feed = new EventFeed(outbox, onFault)
  const consumers: Consumer[] = [new CacheConsumer(app.cache), new AuditConsumer()]
  app.decorate('outbox', outbox)
  app.decorate('eventFeed', feed)
  app.decorate('deadLetters', new DeadLetters(database))
  app.decorate('eventConsumers', consumers)

  const deadStream = 'larder:{events}:dead'
  const counts = { dead: 0, waiting: 0 }
  const die = async (...what: string[]): Promise<void> => {
    counts.dead++
    // For whoever watches the stream; the table is what counts.
    await redis?.xadd(deadStream, 'MAXLEN', '~', 10_000, '*', ...what)
      .catch((err: unknown) => { app.log.debug({ err }, 'a dead letter could not be put into its stream') })
  }
  const onForeign = async (consumer: string, fields: readonly string[]): Promise<void> => {
    app.log.warn({ consumer, stream: eventStream(PREFIX), fields: fields.map((field) => field.slice(0, SHOWN)) }, 'something in the stream of events is no event: it is set aside')
    await die('consumer', consumer, 'error', 'This is no event', ...fields)
  }
  const delivery = new Delivery({
    database,
    ...(tracing && { around: aroundDelivery(tracing) }),
    log: app.log,
    onDead: async (consumer, event, error) => { await die('consumer', consumer, 'error', error, 'event', JSON.stringify(event)) }
  })
  const readerOf = (name: string): Reader => new Reader(database, outbox, name)
  const relay = readerOf('relay')
  let lag = 0

  const measure = async (): Promise<void> => {
    counts.waiting = await app.deadLetters.count()
    if (redis === undefined) {
      lag = Math.max(0, ...await Promise.all(consumers.map(async ({ name }) => await readerOf(`consumer:${name}`).lag())))
      return
    }
    const behind = await relay.lag()
    const inStream = await Promise.all(consumers.map(async ({ name }) => await streamLag(redis, eventStream(PREFIX), name))).catch((error: unknown) => {
      // Without Redis nothing comes out of the outbox, and that much is known.
      lag = behind
      throw error
    })
    lag = Math.max(behind, ...inStream)
  }

  const breakerEvents = new BreakerEvents({
    breakers: app.breakers,
    database,
    outbox,
    instance: { host: hostname(), pid: process.pid },
    onFault: (err) => { app.log.warn({ err }, 'events of breakers wait until they can be recorded') }
  })
  const tasks: { start: () => Promise<void> | void, stop: () => Promise<void>, wake?: () => void }[] = [feed, breakerEvents]
  app.addHook('onReady', async () => {
    if (worker) {
      tasks.push(redis === undefined
        ? new LocalWorker({ consumers, delivery, outbox, reader: (consumer) => readerOf(`consumer:${consumer}`), onFault })
        : new StreamWorker({
          consumers, delivery, outbox, relay, redis, prefix: PREFIX, worker: `${hostname()}:${process.pid}`, onFault, onForeign, ...(claimAfter === undefined ? {} : { claimAfter })
        }))
      tasks.push(new Loop(async () => await outbox.prune(new Date(Date.now() - retention * DAY), PRUNED, consumers.map(({ name }) => name)) === PRUNED, { idle: PRUNING, onFault }))
    }
    // Also where others do the work: that is where it matters whether they do.
    if (app.metrics.enabled) {
      const measuring = new Loop(async () => {
        await measure()
        return false
      }, { idle: MEASURING, onFault })
      // An event is no reason to look.
      tasks.push({ start: () => { measuring.start() }, stop: async () => { await measuring.stop() } })
    }
    for (const task of tasks) await task.start()
    wake = () => { for (const task of tasks) task.wake?.() }
  })
  app.addHook('preClose', async () => {
    await outbox.close()
    await Promise.all(tasks.map(async (task) => { await task.stop() }))
  })

  if (worker) app.health.add('events', () => undefined, { required: false })
  app.metrics.addCollector((): Sample[] => [
    { name: 'larder_event_lag_seconds', help: 'Seconds for which the oldest event has waited that is not done yet; without those that failed and are tried again later', type: 'gauge', value: lag, across: 'highest' },
    { name: 'larder_event_dead_letters_total', help: 'Events that were set aside after their attempts', type: 'counter', value: counts.dead },
    { name: 'larder_event_dead_letters_waiting', help: 'Dead letters that nobody has tried again', type: 'gauge', value: counts.waiting, across: 'highest' }
  ])
}, { name: 'events', fastify: '5.x', dependencies: ['postgres', 'cache', 'metrics', 'health', 'retry'] })

/** What is done about an event is a span of the trace in which it was recorded. */
function aroundDelivery (tracing: Tracing): Around {
  return async (consumer, { id, type, traceparent }, run) => {
    if (traceparent === undefined) return await run()
    const attributes = {
      'messaging.system': 'larder',
      'messaging.operation.name': 'process',
      'messaging.consumer.group.name': consumer,
      'messaging.message.id': id,
      'larder.event.type': type
    }
    return await tracing.consume(`process ${consumer}`, attributes, traceparent, run, (outcome) => outcome)
  }
}
