import type { Cluster, Redis } from 'ioredis'
import type { Consumer, Delivery } from './consumer.js'
import { BEGINNING, type Event, type EventPosition } from './event.js'
import { Loop } from './loop.js'
import type { Outbox } from './outbox.js'
import type { Reader } from './reader.js'
import { retryDue } from './retries.js'
import { StreamGroup } from './stream-group.js'

export interface StreamWorkerOptions {
  consumers: readonly Consumer[]
  delivery: Delivery
  outbox: Outbox
  /** The place in the outbox up to which events are in the stream. */
  relay: Reader
  redis: Redis | Cluster
  /** Begins the names of all keys. */
  prefix: string
  /** The name of this process among those that share the work. */
  worker: string
  onFault: (error: unknown) => void
  /** Told by each consumer of a message in the stream that is no event, and is passed over. */
  onForeign: (consumer: string, fields: readonly string[]) => Promise<void> | void
  /** Milliseconds after which what a worker has taken and not finished goes to another. Default 30 000. */
  claimAfter?: number
  /** Milliseconds that the events in the stream may take to be done before they are looked after. Default 60 000. */
  settleWithin?: number
}

/** The key of the stream. In braces, so that a cluster has all that belongs to it in one slot. */
export const eventStream = (prefix: string): string => `${prefix}{events}`

/** Milliseconds between looks at the stream and the outbox when nobody tells of events. */
const IDLE = 200
const RELAYED = 200
/** Milliseconds that an event stays in the stream: whoever is longer away gets it from the outbox. */
const KEPT = 24 * 3_600_000
/** Milliseconds that a worker has to put into a new stream what was lost with the one before; then another does. */
const FILLING = 60_000

/**
 * Gives events to consumers over a Redis stream: a relay copies the outbox into it, and each consumer is a group whose workers share the
 * events. What a worker took and never finished is claimed by another. The stream may be lost at any time, and with it what was in it: the
 * outbox knows what was done.
 */
export class StreamWorker {
  readonly #options: Required<StreamWorkerOptions>
  readonly #loops: Loop[]
  readonly #relaying: Loop
  readonly #takers: Loop[]
  readonly #looking: Loop
  readonly #groups: StreamGroup[]
  readonly #stream: string
  readonly #marker: string

  constructor (options: StreamWorkerOptions) {
    this.#options = { claimAfter: 30_000, settleWithin: 60_000, ...options }
    this.#stream = eventStream(options.prefix)
    this.#marker = `${this.#stream}:filled`
    const { onFault, onForeign, redis, delivery, worker } = options
    const { claimAfter, settleWithin } = this.#options
    this.#groups = options.consumers.map((consumer) => new StreamGroup({
      redis, stream: this.#stream, consumer, delivery, worker, claimAfter, onForeign, onFounded: () => { this.#looking.wake() }
    }))
    this.#looking = new Loop(async () => await this.#lookAfter(), { idle: settleWithin / 2, onFault })
    this.#relaying = new Loop(async () => await this.#relay(), { idle: IDLE, onFault })
    this.#takers = this.#groups.map((group) => new Loop(async (signal) => await group.take(signal), { idle: IDLE, onFault }))
    this.#loops = [
      this.#relaying,
      ...this.#takers,
      ...this.#groups.map((group) => new Loop(async (signal) => {
        await group.claim(signal)
        return false
      }, { idle: claimAfter / 3, onFault })),
      this.#looking,
      new Loop(async (signal) => await retryDue(options, signal), { idle: IDLE * 2, onFault })
    ]
  }

  async start (): Promise<void> {
    await this.#options.relay.prepare()
    for (const loop of this.#loops) loop.start()
  }

  wake (): void {
    this.#relaying.wake()
  }

  async stop (): Promise<void> {
    await Promise.all(this.#loops.map(async (loop) => { await loop.stop() }))
    // Without Redis they are claimed later.
    await Promise.all(this.#groups.map(async (group) => { await group.release() })).catch(this.#options.onFault)
  }

  /** There is something in the stream. */
  #wakeTakers (): void {
    for (const taker of this.#takers) taker.wake()
  }

  /** Copies what is new into the stream. An event that is copied twice, since the note of it was lost, is done once: the inbox knows it. */
  async #relay (): Promise<boolean> {
    const count = await this.#options.relay.advance(RELAYED, async (events) => { await this.#publish(events.map(({ event }) => event)) })
    if (count !== undefined && count > 0) this.#wakeTakers()
    return count === RELAYED
  }

  async #publish (events: readonly Event[]): Promise<void> {
    const { redis } = this.#options
    const oldest = String(Date.now() - KEPT)
    await Promise.all(events.map(async (event) =>
      await redis.xadd(this.#stream, 'MINID', '~', oldest, '*', 'event', JSON.stringify(event))))
  }

  /** Puts what was lost with the stream into it again: at once when the stream itself is new, else what is long overdue. */
  async #lookAfter (): Promise<boolean> {
    const { redis, outbox, consumers, settleWithin } = this.#options
    const isNew = await redis.set(this.#marker, 'filling', 'PX', FILLING, 'NX') === 'OK'
    const now = Date.now()
    for (const { name } of consumers) {
      const until = new Date(isNew ? now : now - settleWithin)
      for (let from: EventPosition = BEGINNING; ;) {
        const lost = await outbox.unhandled(name, from, until, RELAYED)
        await this.#publish(lost.map(({ event }) => event))
        if (lost.length > 0) this.#wakeTakers()
        const last = lost.at(-1)
        // A consumer that is merely slow does not get all of it again and again.
        if (!isNew || last === undefined || lost.length < RELAYED) break
        from = last
      }
    }
    if (isNew) await redis.set(this.#marker, '1')
    return false
  }
}
