import type { Consumer, Delivery } from './consumer.js'
import { Loop } from './loop.js'
import type { Outbox } from './outbox.js'
import type { Reader } from './reader.js'
import { retryDue } from './retries.js'

export interface LocalWorkerOptions {
  consumers: readonly Consumer[]
  delivery: Delivery
  outbox: Outbox
  /** The place in the outbox of each consumer. */
  reader: (consumer: string) => Reader
  onFault: (error: unknown) => void
}

/** Milliseconds between looks at the outbox when nobody tells of events. */
const IDLE = 500

/** Gives events to consumers straight from the outbox: for one process without Redis. */
export class LocalWorker {
  readonly #loops: Loop[]
  readonly #options: LocalWorkerOptions

  constructor (options: LocalWorkerOptions) {
    this.#options = options
    const { onFault } = options
    this.#loops = [
      ...options.consumers.map((consumer) => new Loop(this.#turnOf(consumer), { idle: IDLE, onFault })),
      new Loop(async (signal) => await retryDue(options, signal), { idle: IDLE, onFault })
    ]
  }

  async start (): Promise<void> {
    for (const { name } of this.#options.consumers) await this.#options.reader(name).prepare()
    for (const loop of this.#loops) loop.start()
  }

  wake (): void {
    for (const loop of this.#loops) loop.wake()
  }

  async stop (): Promise<void> {
    await Promise.all(this.#loops.map(async (loop) => { await loop.stop() }))
  }

  #turnOf (consumer: Consumer): (signal: AbortSignal) => Promise<boolean> {
    const { delivery } = this.#options
    const reader = this.#options.reader(consumer.name)
    return async (signal) => {
      const begun = await reader.begin()
      if (begun === undefined) return false
      const { recorded, attempts } = begun
      // Begun that often and never finished: the process ends of it.
      if (attempts > delivery.maxAttempts) await delivery.fail(consumer.name, recorded.event, new Error('The process ended whenever this was begun'), { isFinal: true, attempts: attempts - 1 })
      else await delivery.deliver(consumer, recorded.event, signal)
      await reader.finish(recorded)
      return true
    }
  }
}
