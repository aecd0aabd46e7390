import { NoConnectionError } from './faults.js'

export interface ConnectionQueueOptions {
  /** Connections that may be used at once. */
  connections: number
  /** Callers that may wait for one. */
  waiting: number
  /** Milliseconds that each of them waits. */
  patience: number
  /** Milliseconds, never going back. */
  now?: () => number
}

interface Waiter { proceed: () => void, refuse: (error: Error) => void }

/** Milliseconds after which one more connection is tried where the server had refused one. */
const WIDEN_AFTER = 1000

/**
 * Who waits for a connection: so many, for so long, in the order in which they came (the bulkhead of Nygard's "Release It!"). A server
 * that takes fewer connections than it might is not asked for more: as many as it took are passed on.
 */
export class ConnectionQueue {
  readonly #options: Required<ConnectionQueueOptions>
  readonly #waiting: Waiter[] = []
  #used = 0
  #limit: number
  #refusedAt = -Infinity

  constructor (options: ConnectionQueueOptions) {
    this.#options = { now: () => performance.now(), ...options }
    this.#limit = options.connections
  }

  /** Connections that may be used at once just now. */
  get limit (): number { return this.#limit }
  get used (): number { return this.#used }
  get waiting (): number { return this.#waiting.length }

  /**
   * Resolves when there is a connection to be had, with what is to be called when it is not needed any more.
   * @param left milliseconds that the caller has
   * @param isFirst the caller was at the head before, or is about to give a connection back: it waits in front of the others, however many there are
   * @throws NoConnectionError when too many wait, or it took too long; the signal's reason when that ended it
   */
  async enter (left: number, signal?: AbortSignal, isFirst = false): Promise<() => void> {
    signal?.throwIfAborted()
    if (this.#used < this.#limit) this.#used++
    else await this.#wait(Math.min(left, this.#options.patience), signal, isFirst)
    let hasLeft = false
    return () => {
      if (hasLeft) return
      hasLeft = true
      this.#pass()
    }
  }

  /** The server takes no more connections than there are: one fewer is asked for. False when there is but one. */
  narrow (): boolean {
    this.#refusedAt = this.#options.now()
    if (this.#limit === 1) return false
    // Whoever was refused is among those who are counted as using one.
    this.#limit = Math.max(1, Math.min(this.#limit, this.#used) - 1)
    return true
  }

  #wait (patience: number, signal: AbortSignal | undefined, isFirst: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!isFirst && this.#waiting.length >= this.#options.waiting) {
        reject(new NoConnectionError('Too many wait for a connection'))
        return
      }
      const settle = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', cut)
      }
      const waiter: Waiter = {
        proceed: () => { settle(); resolve() },
        refuse: (error) => {
          settle()
          this.#waiting.splice(this.#waiting.indexOf(waiter), 1)
          reject(error)
        }
      }
      const timer = setTimeout(() => { waiter.refuse(new NoConnectionError('No connection has become free in time')) }, patience)
      const cut = (): void => { waiter.refuse(signal?.reason as Error) }
      signal?.addEventListener('abort', cut)
      if (isFirst) this.#waiting.unshift(waiter)
      else this.#waiting.push(waiter)
    })
  }

  #pass (): void {
    const { connections, now } = this.#options
    if (this.#limit < connections && now() - this.#refusedAt > WIDEN_AFTER) {
      this.#limit++
      this.#refusedAt = now()
    }
    this.#used--
    while (this.#used < this.#limit) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      this.#used++
      next.proceed()
    }
  }
}
