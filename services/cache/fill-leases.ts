import { type Caller, onLeaving, throwIfGone } from './caller.js'
import type { Now } from './clock.js'
import { isDurable, NO_TAGS, type StoredEntry } from './entry.js'
import { LeaseLostError, TooManyWaitersError, UnsupportedOperationError } from './errors.js'
import { isOutage, type OnFault } from './faults.js'
import { nameOf } from './in-flight.js'
import type { Grant } from './leases.js'
import type { Store } from './stores/store.js'

/** Callers that may wait for the values of others at once. */
export const DEFAULT_WAITERS = 10_000
/** Milliseconds between two looks while announcements cannot be relied on. */
const UNTRUSTED_PATIENCE = 100

/** What a read with a lease comes to: the entry; a stale one; the lease to fill it; or nothing in the time that the caller would wait. */
export type LeaseOutcome =
  | { kind: 'found' | 'stale', entry: StoredEntry }
  | { kind: 'lease', token: string, milliseconds: number }
  | { kind: 'none' }

export interface FillLeasesOptions {
  store: Store
  now: Now
  onFault: OnFault
  maxWaiters?: number | undefined
}

/**
 * Leases for callers who compute values outside the process, after "Scaling Memcache at Facebook", 3.2.1: the first of those who miss
 * gets a lease to fill the key, the others wait for the value. A lease is lost when its time is over, and when the key is written,
 * deleted or invalidated, so that an old value is never stored over a newer state.
 */
export class FillLeases {
  #store: Store
  #now: Now
  #onFault: OnFault
  #maxWaiters: number
  #waiting = 0

  constructor ({ store, now, onFault, maxWaiters = DEFAULT_WAITERS }: FillLeasesOptions) {
    this.#store = store
    this.#now = now
    this.#onFault = onFault
    this.#maxWaiters = maxWaiters
  }

  /** Callers who wait now. */
  get waiting (): number { return this.#waiting }

  /**
   * @param milliseconds that the lease lasts, and that the caller waits at most
   * @param caller gets no lease once it has gone: the next one does
   * @throws TooManyWaitersError · BackendUnavailableError · the reason of the caller's signal
   */
  async get (namespace: string, key: string, milliseconds: number, caller?: Caller): Promise<LeaseOutcome> {
    const store = this.#store
    const until = performance.now() + milliseconds
    const wait = store.wakeups.begin(nameOf(namespace, key))
    const signal = caller?.signal
    const stay = signal === undefined ? undefined : onLeaving(signal, wait.ring)
    let over: string | undefined
    let isWaiting = false
    try {
      for (;;) {
        const acquiring = store.leases.acquire(namespace, key, milliseconds, over)
        const [grant, entry] = await this.#look(acquiring, namespace, key).catch((error: unknown) => {
          // Otherwise the next ones would wait for a caller who never learns that it has the lease.
          acquiring.then((grant) => { if (grant.isMine) this.#release(namespace, key, grant, true) }, () => {})
          throw error
        })
        if (entry !== undefined && entry.expiresAt > this.#now()) {
          if (grant.isMine) this.#release(namespace, key, grant)
          return { kind: 'found', entry }
        }
        if (grant.isMine) {
          if (signal?.aborted !== true) return { kind: 'lease', token: grant.token, milliseconds }
          this.#release(namespace, key, grant, true)
          throw signal.reason as Error
        }
        over = store.isTrueSince(grant.stamp, namespace, key, NO_TAGS) ? undefined : grant.token
        if (over !== undefined) continue
        if (entry !== undefined) return { kind: 'stale', entry }
        const left = until - performance.now()
        if (left <= 0) return { kind: 'none' }
        if (!isWaiting) {
          if (this.#waiting >= this.#maxWaiters) throw new TooManyWaitersError(this.#maxWaiters)
          this.#waiting++
          isWaiting = true
        }
        await wait.next(Math.min(left, grant.left, store.isTrusted ? Infinity : UNTRUSTED_PATIENCE))
        signal?.throwIfAborted()
      }
    } finally {
      if (isWaiting) this.#waiting--
      stay?.()
      wait.end()
    }
  }

  /**
   * Stores the value that a lease was given for, and gives the lease back.
   * @throws LeaseLostError · EntryTooLargeError · BackendUnavailableError · BackendFullError; the lease stays when it is not lost
   */
  async fill (entry: StoredEntry, token: string, caller?: Caller): Promise<void> {
    const store = this.#store
    const { namespace, key, tags, strategy } = entry
    if (isDurable(strategy)) throw new UnsupportedOperationError(`A lease cannot be filled as ${strategy}: leave lease or strategy out.`)
    const operation = await store.leases.operation(namespace, key, token)
    if (operation === undefined) throw new LeaseLostError(key)
    try {
      throwIfGone(caller)
      const isCurrent = store.isCurrent(operation, namespace, key, tags)
      const outcome = isCurrent ? await store.fill(operation, entry) : 'superseded'
      this.#release(namespace, key, { token }, typeof outcome !== 'object')
      if (typeof outcome !== 'object') throw new LeaseLostError(key)
    } finally {
      store.end(operation)
    }
  }

  /** The lease, and the entry as it was when that was given, or later. */
  async #look (acquiring: Promise<Grant>, namespace: string, key: string): Promise<[Grant, StoredEntry | undefined]> {
    const store = this.#store
    const [grant, entry] = await Promise.all([acquiring, store.latest(namespace, key)])
    const isFresh = entry !== undefined && entry.expiresAt > this.#now()
    // Another may have stored it and given the lease back after that look.
    return grant.isMine && !isFresh && store.leases.precedesReads !== true ? [grant, await store.latest(namespace, key)] : [grant, entry]
  }

  /** Nobody waits for that; without it the lease ends by itself. */
  #release (namespace: string, key: string, { token }: Pick<Grant, 'token'>, tell = false): void {
    this.#store.leases.release(namespace, key, token, tell).catch((error: unknown) => { if (!isOutage(error)) this.#onFault(error) })
  }
}
