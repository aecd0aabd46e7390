import type { Cluster, Redis } from 'ioredis'
import type { Consumer, Delivery } from './consumer.js'
import { type Event, eventIn } from './event.js'

export interface StreamGroupOptions {
  redis: Redis | Cluster
  stream: string
  consumer: Consumer
  delivery: Delivery
  /** The name of this process among those that share the work. */
  worker: string
  /** Milliseconds after which what a worker has taken and not finished goes to another. */
  claimAfter: number
  /** Told when the group was not there: neither is what the stream had in it. */
  onFounded: () => void
  /** Told of a message that is no event, which is done with then. */
  onForeign: (consumer: string, fields: readonly string[]) => Promise<void> | void
}

const TAKEN = 50
/** How often `claimAfter` fits into the silence of a worker that is gone for good. */
const FORGOTTEN_AFTER = 20

/**
 * The events of a stream for one consumer, shared with other processes (a consumer group of Redis Streams). What is begun is counted event by
 * event, so that only the one at which processes end again and again is set aside, and none of those that were taken with it.
 */
export class StreamGroup {
  readonly #options: StreamGroupOptions
  /** The last turn did not come to its end: some of what was taken for this process may not be done. */
  #isDisturbed = false

  constructor (options: StreamGroupOptions) {
    this.#options = options
  }

  /** Does what nobody has taken yet. Answers whether there may be more. */
  async take (signal: AbortSignal): Promise<boolean> {
    const { redis, stream, consumer, worker, delivery } = this.#options
    let found: unknown
    try {
      if (this.#isDisturbed) await this.#again(signal, 0, worker)
      this.#isDisturbed = true
      // Without BLOCK: the connection is everybody's.
      found = await redis.xreadgroup('GROUP', consumer.name, worker, 'COUNT', TAKEN, 'STREAMS', stream, '>')
    } catch (error) {
      if (!isGone(error)) throw error
      await this.#found()
      return true
    }
    const messages = messagesIn((found as [string, Message[]][] | null)?.[0]?.[1])
    for (const { id, event, fields } of messages) {
      if (signal.aborted) return false
      if (event !== undefined) await delivery.deliver(consumer, event, signal)
      else await this.#setAside(fields)
      await redis.xack(stream, consumer.name, id)
    }
    this.#isDisturbed = false
    return messages.length === TAKEN
  }

  /** Does what others have begun and not finished, and forgets those who are gone. */
  async claim (signal: AbortSignal): Promise<void> {
    try {
      await this.#again(signal, this.#options.claimAfter)
      await this.#forgetGone()
    } catch (error) {
      if (!isGone(error)) throw error
    }
  }

  /** Leaves to others at once what this process has taken and not done. */
  async release (): Promise<void> {
    const { redis, stream, consumer: { name }, worker, claimAfter } = this.#options
    if (!this.#isDisturbed) return
    const pending = await this.#pending('-', 0, worker)
    if (pending.length > 0) await redis.call('XCLAIM', stream, name, worker, 0, ...pending.map(({ id }) => id), 'IDLE', claimAfter, 'JUSTID')
  }

  /** Does what was begun that long ago, by a certain worker or by any. */
  async #again (signal: AbortSignal, minIdle: number, by?: string): Promise<void> {
    for (let from = '-'; ;) {
      const pending = await this.#pending(from, minIdle, by)
      for (const { id, count } of pending) {
        if (signal.aborted) return
        await this.#doAgain(id, count, minIdle, signal)
      }
      const last = pending.at(-1)
      if (last === undefined || pending.length < TAKEN) return
      from = `(${last.id}`
    }
  }

  /** @param begun how often it has been begun so far */
  async #doAgain (id: string, begun: number, minIdle: number, signal: AbortSignal): Promise<void> {
    const { redis, stream, consumer, worker, delivery } = this.#options
    const claimed = await redis.call('XCLAIM', stream, consumer.name, worker, minIdle, id) as (Message | null)[]
    const [message] = messagesIn(claimed.filter((each) => each !== null))
    // Another was sooner, or it has been trimmed.
    if (message === undefined) return
    if (message.event !== undefined) {
      try {
        if (begun >= delivery.maxAttempts) await delivery.fail(consumer.name, message.event, new Error('Whoever began this never finished it'), { isFinal: true, attempts: begun })
        else await delivery.deliver(consumer, message.event, signal)
      } catch (error) {
        // This process is there to tell that it was not the event: it does not count.
        await redis.call('XCLAIM', stream, consumer.name, worker, 0, id, 'IDLE', 0, 'RETRYCOUNT', begun, 'JUSTID').catch(() => {})
        throw error
      }
    } else {
      await this.#setAside(message.fields)
    }
    await redis.xack(stream, consumer.name, id)
  }

  /** Anybody who reaches Redis can write to the stream: what is no event of ours keeps none from being done. */
  async #setAside (fields: readonly string[]): Promise<void> {
    if (fields.length > 0) await this.#options.onForeign(this.#options.consumer.name, fields)
  }

  async #pending (from: string, minIdle: number, by?: string): Promise<{ id: string, count: number }[]> {
    const { redis, stream, consumer } = this.#options
    const pending = await redis.call('XPENDING', stream, consumer.name, 'IDLE', minIdle, from, '+', TAKEN, ...by === undefined ? [] : [by]) as [string, string, number, number][]
    return pending.map(([id, , , count]) => ({ id, count }))
  }

  /** At the beginning of what is in the stream: what was done before comes again and is known. */
  async #found (): Promise<void> {
    const { redis, stream, consumer, onFounded } = this.#options
    try {
      await redis.xgroup('CREATE', stream, consumer.name, '0', 'MKSTREAM')
    } catch (error) {
      if (!(error as Error).message.startsWith('BUSYGROUP')) throw error
    }
    onFounded()
  }

  /** Each start has a name of its own, which Redis would keep for ever. */
  async #forgetGone (): Promise<void> {
    const { redis, stream, consumer, worker, claimAfter } = this.#options
    for (const fields of await redis.xinfo('CONSUMERS', stream, consumer.name) as (string | number)[][]) {
      const of = (field: string): string | number | undefined => fields[fields.indexOf(field) + 1]
      const name = String(of('name'))
      if (name === worker || of('pending') !== 0 || Number(of('idle')) < claimAfter * FORGOTTEN_AFTER) continue
      await redis.xgroup('DELCONSUMER', stream, consumer.name, name)
    }
  }
}

/** Whether the group, or the whole stream, is not there. */
function isGone (error: unknown): boolean {
  return /^NOGROUP|no such key/i.test((error as Error).message)
}

type Message = [id: string, fields: string[] | null]

/** A message that was trimmed has no fields. */
function messagesIn (messages: readonly Message[] | undefined): { id: string, event: Event | undefined, fields: readonly string[] }[] {
  return (messages ?? []).map(([id, fields]) => ({ id, event: eventIn(fields?.[1]), fields: fields ?? [] }))
}
