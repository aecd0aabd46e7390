import type { Cluster, Redis } from 'ioredis'
import type { Consumer, Delivery } from './consumer.js'
import { BEGINNING, type Event, type EventPosition } from './event.js'
import { Loop } from './loop.js'
import type { Outbox } from './outbox.js'
import type { Reader } from './reader.js'
import { retryDue } from './retries.js'

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
  /** Milliseconds after which what a worker has taken and not finished goes to another. Default 30 000. */
  claimAfter?: number
  /** Milliseconds that the events in the stream may take to be done before they are looked after. Default 60 000. */
  settleWithin?: number
}

/** Milliseconds between looks at the stream and the outbox when nobody tells of events. */
const IDLE = 200
const RELAYED = 200
const TAKEN = 50
/** Milliseconds that an event stays in the stream: whoever is longer away gets it from the outbox. */
const KEPT = 24 * 3_600_000
/** Milliseconds for which what was lost with the stream is looked for in the outbox. */
const LOOKED_BACK = 6 * 24 * 3_600_000

/**
 * Gives events to consumers over a Redis stream: a relay copies the outbox into it, and each consumer is a group whose workers share the
 * events. What a worker took and never finished is claimed by another (XAUTOCLAIM). The stream may be lost at any time, and with it
 * what was in it: the outbox knows what was done.
 */
export class StreamWorker {
  readonly #options: Required<StreamWorkerOptions>
  readonly #loops: Loop[]
  readonly #stream: string
  readonly #marker: string

  constructor (options: StreamWorkerOptions) {
    this.#options = { claimAfter: 30_000, settleWithin: 60_000, ...options }
    // One slot, so that a cluster takes them together.
    this.#stream = `${options.prefix}{events}`
    this.#marker = `${this.#stream}:filled`
    const { onFault } = options
    this.#loops = [
      new Loop(async () => await this.#relay(), { idle: IDLE, onFault }),
      ...options.consumers.flatMap((consumer) => [
        new Loop(async (signal) => await this.#take(consumer, signal), { idle: IDLE, onFault }),
        new Loop(async (signal) => await this.#claim(consumer, signal), { idle: this.#options.claimAfter / 3, onFault })
      ]),
      new Loop(async () => await this.#lookAfter(), { idle: this.#options.settleWithin / 2, onFault }),
      new Loop(async (signal) => await retryDue(options, signal), { idle: IDLE * 2, onFault })
    ]
  }

  async start (): Promise<void> {
    await this.#options.relay.prepare()
    for (const loop of this.#loops) loop.start()
  }

  wake (): void {
    this.#loops[0]?.wake()
  }

  async stop (): Promise<void> {
    await Promise.all(this.#loops.map(async (loop) => { await loop.stop() }))
  }

  /** Copies what is new into the stream. An event that is copied twice, since the note of it was lost, is done once: the inbox knows it. */
  async #relay (): Promise<boolean> {
    const count = await this.#options.relay.advance(RELAYED, async (events) => { await this.#publish(events.map(({ event }) => event)) })
    if (count !== undefined && count > 0) for (const loop of this.#loops.slice(1)) loop.wake()
    return count === RELAYED
  }

  async #publish (events: readonly Event[]): Promise<void> {
    const { redis } = this.#options
    const oldest = String(Date.now() - KEPT)
    await Promise.all(events.map(async (event) =>
      await redis.xadd(this.#stream, 'MINID', '~', oldest, '*', 'event', JSON.stringify(event))))
  }

  async #take (consumer: Consumer, signal: AbortSignal): Promise<boolean> {
    const { redis, worker } = this.#options
    let found: unknown
    try {
      // Without BLOCK: the connection is everybody's.
      found = await redis.xreadgroup('GROUP', consumer.name, worker, 'COUNT', TAKEN, 'STREAMS', this.#stream, '>')
    } catch (error) {
      if (!(error as Error).message.startsWith('NOGROUP')) throw error
      await this.#found(consumer)
      return true
    }
    const messages = messagesIn((found as [string, Message[]][] | null)?.[0]?.[1])
    for (const { id, event } of messages) {
      if (event !== undefined) await this.#options.delivery.deliver(consumer, event, signal)
      await redis.xack(this.#stream, consumer.name, id)
    }
    return messages.length === TAKEN
  }

  /** Founds the group of a consumer, at the beginning of what is in the stream: what was done before comes again and is known. */
  async #found (consumer: Consumer): Promise<void> {
    try {
      await this.#options.redis.xgroup('CREATE', this.#stream, consumer.name, '0', 'MKSTREAM')
    } catch (error) {
      if (!(error as Error).message.startsWith('BUSYGROUP')) throw error
    }
  }

  /** Takes over what others have begun and not finished; what was begun too often ends whoever begins it. */
  async #claim (consumer: Consumer, signal: AbortSignal): Promise<boolean> {
    const { redis, worker, claimAfter, delivery } = this.#options
    let cursor = '0-0'
    do {
      let answer: [string, Message[]]
      try {
        answer = await redis.xautoclaim(this.#stream, consumer.name, worker, claimAfter, cursor, 'COUNT', TAKEN) as [string, Message[]]
      } catch (error) {
        if (/^NOGROUP|no such key/i.test((error as Error).message)) return false
        throw error
      }
      cursor = answer[0]
      for (const { id, event } of messagesIn(answer[1])) {
        if (event !== undefined) {
          const [pending] = await redis.xpending(this.#stream, consumer.name, id, id, 1) as [string, string, number, number][]
          if ((pending?.[3] ?? 0) > delivery.maxAttempts) await delivery.fail(consumer.name, event, new Error('Whoever began this never finished it'), true)
          else await delivery.deliver(consumer, event, signal)
        }
        await redis.xack(this.#stream, consumer.name, id)
      }
    } while (cursor !== '0-0')
    return false
  }

  /** Puts what was lost with the stream into it again: at once when the stream itself is new, else what is long overdue. */
  async #lookAfter (): Promise<boolean> {
    const { redis, outbox, consumers, settleWithin } = this.#options
    const isNew = await redis.set(this.#marker, '1', 'NX') === 'OK'
    const now = Date.now()
    for (const { name } of consumers) {
      const until = new Date(isNew ? now : now - settleWithin)
      for (let from: EventPosition = BEGINNING; ;) {
        const lost = await outbox.unhandled(name, from, new Date(now - LOOKED_BACK), until, RELAYED)
        await this.#publish(lost.map(({ event }) => event))
        if (lost.length > 0) for (const loop of this.#loops) loop.wake()
        const last = lost.at(-1)
        // A consumer that is merely slow does not get all of it again and again.
        if (!isNew || last === undefined || lost.length < RELAYED) break
        from = last
      }
    }
    return false
  }
}

type Message = [id: string, fields: string[] | null]

/** A message that was trimmed has no fields. */
function messagesIn (messages: readonly Message[] | undefined): { id: string, event: Event | undefined }[] {
  return (messages ?? []).map(([id, fields]) => ({ id, event: fields?.[1] === undefined ? undefined : JSON.parse(fields[1]) as Event }))
}
