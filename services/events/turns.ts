import { ConnectionQueue } from '../database/connection-queue.js'
import { NoConnectionError } from '../database/faults.js'
import { UnavailableError } from '../errors.js'

export interface TurnsOptions {
  /** Callers that may wait for one name. Default 500. */
  waiting?: number
  /** Milliseconds that each of them waits. Default 3000, as for a connection. */
  patience?: number
}

/**
 * One at a time for each name, in the order in which they came. Who would wait in the database for a neighbour in the same process waits
 * here: there it would hold a connection meanwhile.
 */
export class Turns {
  readonly #options: Required<TurnsOptions>
  readonly #queues = new Map<string, ConnectionQueue>()

  constructor (options: TurnsOptions = {}) {
    this.#options = { waiting: 500, patience: 3000, ...options }
  }

  /** Names under which somebody works. */
  get size (): number { return this.#queues.size }

  /** @throws UnavailableError when too many wait, or it took too long; the signal's reason when that ended the wait */
  async take<T> (name: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted()
    const { patience } = this.#options
    const queue = this.#queues.get(name) ?? new ConnectionQueue({ connections: 1, ...this.#options })
    this.#queues.set(name, queue)
    let leave: () => void
    try {
      leave = await queue.enter(patience, signal)
    } catch (error) {
      if (!(error instanceof NoConnectionError)) throw error
      throw Object.assign(new UnavailableError('Too many do the same at once: try again in a moment.'), { retryAfter: 1, cause: error })
    }
    try {
      return await work()
    } finally {
      leave()
      // Else the next one has its turn.
      if (queue.used === 0) this.#queues.delete(name)
    }
  }
}
