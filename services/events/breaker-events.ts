import type { BreakerNews, Breakers } from '../breakers.js'
import type { Database } from '../database.js'
import type { EventRecorder } from './event.js'
import { Loop } from './loop.js'

export interface BreakerEventsOptions {
  breakers: Pick<Breakers, 'onNews' | 'isHeld'>
  database: Pick<Database, 'transaction'>
  outbox: EventRecorder
  /** Which process tells. */
  instance: { host: string, pid: number }
  /** Told once for each outage of the database. */
  onFault: (error: unknown) => void
  /** Milliseconds after which a change that could not be recorded is tried again, twice as many each time, up to ten seconds. Default 1000. */
  pause?: number
}

/** The breaker in front of the database that events are recorded in. */
const DATABASE = 'postgres'

type Pending = BreakerNews & {
  /** Changes before it that were never recorded. */
  missed: number
}

/**
 * Has an event recorded when a breaker of this process opens and when it closes: `breaker.opened`, `breaker.closed`. Nobody waits for that. While the database is away, or
 * its breaker is held open, the last change of each breaker is kept, and with it how many there were before. What is recorded again because the answer to its
 * commit was lost comes twice; `since` tells.
 */
export class BreakerEvents {
  readonly #options: BreakerEventsOptions
  readonly #pending = new Map<string, Pending>()
  readonly #loop: Loop
  readonly #unsubscribe: () => void

  constructor (options: BreakerEventsOptions) {
    this.#options = options
    this.#loop = new Loop(async () => await this.#recordAll(), { idle: options.pause ?? 1000, onFault: options.onFault })
    this.#unsubscribe = options.breakers.onNews((news) => {
      this.#keep({ ...news, missed: 0 })
      this.#loop.wake()
    })
  }

  start (): void { this.#loop.start() }

  /** Records what it can still record. */
  async stop (): Promise<void> {
    this.#unsubscribe()
    await this.#loop.stop()
    await this.#recordAll().catch(this.#options.onFault)
  }

  async #recordAll (): Promise<boolean> {
    const { breakers, database, outbox } = this.#options
    // Held open, it is to be left alone: its closing is told here as well.
    if (breakers.isHeld(DATABASE)) return false
    for (const [name, pending] of this.#pending) {
      this.#pending.delete(name)
      try {
        await database.transaction(async (transaction) => { await outbox.record(transaction, this.#eventOf(pending)) })
      } catch (error) {
        const newer = this.#pending.get(name)
        if (newer === undefined) this.#pending.set(name, pending)
        else newer.missed += pending.missed + 1
        throw error
      }
    }
    return false
  }

  #keep (pending: Pending): void {
    const overtaken = this.#pending.get(pending.name)
    this.#pending.set(pending.name, overtaken === undefined ? pending : { ...pending, missed: overtaken.missed + 1 })
  }

  #eventOf ({ name, to, isHeld, since, openedAt, outages, missed }: Pending) {
    const { host, pid } = this.#options.instance
    const told = (time: number): string => new Date(time).toISOString()
    return {
      type: `breaker.${to}`,
      subject: `breakers/${name}`,
      data: { name, state: to === 'opened' ? 'open' : 'closed', held: isHeld, since: told(since), opened_at: told(openedAt), outages, missed, host, pid }
    }
  }
}
