import { hostname } from 'node:os'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { AuditConsumer } from '../services/events/audit-consumer.js'
import { CacheConsumer } from '../services/events/cache-consumer.js'
import { type Around, Delivery, type Consumer } from '../services/events/consumer.js'
import { DeadLetters } from '../services/events/dead-letters.js'
import { EventFeed } from '../services/events/feed.js'
import { LocalWorker } from '../services/events/local-worker.js'
import { Loop } from '../services/events/loop.js'
import { Outbox } from '../services/events/outbox.js'
import { Reader } from '../services/events/reader.js'
import { StreamWorker } from '../services/events/stream-worker.js'
import type { Sample } from '../services/metrics.js'
import type { Tracing } from '../services/tracing/tracing.js'
import type {} from './cache.js'
import type {} from './postgres.js'
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

/**
 * Events over an outbox (`app.outbox`), consumed over a Redis stream where there is Redis, else by this process alone. Nothing depends on
 * a worker being there: what happens meanwhile waits.
 */
export default fp<EventsOptions>(async function events (app, { worker = true, claimAfter, retention = 7 }) {
  const { database, tracing } = app
  const redis = app.redis as FastifyInstance['redis'] | undefined
  const onFault = (err: unknown): void => { app.log.warn({ err }, 'events wait: what they need is away') }
  let wake = (): void => {}

  const outbox = new Outbox({ database, onRecorded: () => { wake() }, onFault, ...(tracing && { traceparent: () => tracing.traceparent() }) })
  const feed = new EventFeed(outbox, onFault)
  const consumers: Consumer[] = [new CacheConsumer(app.cache), new AuditConsumer()]
  app.decorate('outbox', outbox)
  app.decorate('eventFeed', feed)
  app.decorate('deadLetters', new DeadLetters(database))
  app.decorate('eventConsumers', consumers)

  const deadStream = 'larder:{events}:dead'
  const counts = { dead: 0 }
  const delivery = new Delivery({
    database,
    ...(tracing && { around: aroundDelivery(tracing) }),
    log: app.log,
    onDead: async (consumer, event, error) => {
      counts.dead++
      // For whoever watches the stream; the table is what counts.
      await redis?.xadd(deadStream, 'MAXLEN', '~', 10_000, '*', 'consumer', consumer, 'error', error, 'event', JSON.stringify(event))
        .catch((err: unknown) => { app.log.debug({ err }, 'a dead letter could not be put into its stream') })
    }
  })
  const readerOf = (name: string): Reader => new Reader(database, outbox, name)
  const relay = readerOf('relay')
  let lag = 0

  const tasks: { start: () => Promise<void> | void, stop: () => Promise<void>, wake?: () => void }[] = [feed]
  app.addHook('onReady', async () => {
    if (worker) {
      tasks.push(redis === undefined
        ? new LocalWorker({ consumers, delivery, outbox, reader: (consumer) => readerOf(`consumer:${consumer}`), onFault })
        : new StreamWorker({
          consumers, delivery, outbox, relay, redis, prefix: 'larder:', worker: `${hostname()}:${process.pid}`, onFault, ...(claimAfter === undefined ? {} : { claimAfter })
        }))
      tasks.push(new Loop(async () => await outbox.prune(new Date(Date.now() - retention * DAY), PRUNED) === PRUNED, { idle: PRUNING, onFault }))
      tasks.push(new Loop(async () => {
        lag = Math.max(...await Promise.all((redis === undefined ? consumers.map(({ name }) => `consumer:${name}`) : ['relay']).map(async (name) => await readerOf(name).lag())))
        return false
      }, { idle: 5000, onFault }))
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
    { name: 'larder_event_lag_seconds', help: 'Seconds since the oldest event was recorded that waits to be given out', type: 'gauge', labels: {}, value: lag, across: 'highest' },
    { name: 'larder_event_dead_letters_total', help: 'Events that were set aside after their attempts', type: 'counter', labels: {}, value: counts.dead }
  ])
}, { name: 'events', fastify: '5.x', dependencies: ['postgres', 'cache', 'metrics', 'health'] })

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
