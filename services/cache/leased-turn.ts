import type { Audience } from './audience.js'
import type { Now } from './clock.js'
import type { StoredEntry } from './entry.js'
import { isOutage, type OnFault } from './faults.js'
import { type Claim, nameOf } from './in-flight.js'
import type { Grant } from './leases.js'
import type { Store } from './stores/store.js'

/** Milliseconds between two looks while announcements cannot be relied on. */
const UNTRUSTED_PATIENCE = 100
/** Renewals within the time of a lease, so that one of them may fail. */
const RENEWALS = 3

/** It is this process's turn to load, or there is an `entry` from another one. */
export interface Turn {
  readonly entry?: StoredEntry
  /** At which the lease was given; undefined when it is this process's turn without one. */
  readonly stamp?: number
  /** See `Grant`. */
  readonly claim?: Claim | undefined
  /** Whether that is because the shared backend does not answer. */
  readonly isAway?: boolean
  /** Gives the lease back. @param tell those who wait, because nothing was stored */
  end (tell: boolean): void
}

export interface LeasedTurnOptions {
  store: Store
  now: Now
  namespace: string
  key: string
  /** Milliseconds. */
  lease: number
  known: number | undefined
  tags: readonly string[] | undefined
  /** Milliseconds after which it is anybody's turn. */
  giveUpAfter: number
  /** For whom it is loaded. */
  audience: Audience
  onFault: OnFault
}

/** The way to one load over all processes: who gets the lease of the key loads, the others wait for what is stored. */
export class LeasedTurn {
  #options: LeasedTurnOptions

  constructor (options: LeasedTurnOptions) { this.#options = options }

  /**
   * @param onWait told at which stamp a load elsewhere began that is waited for, and at the end (undefined)
   * @returns at once when the leases cannot be had: they only save work
   * @throws why the last one left who wanted the value, while it was waited for
   */
  async take (onWait: (stamp: number | undefined) => void): Promise<Turn> {
    const { store, namespace, key, giveUpAfter, audience } = this.#options
    const until = performance.now() + giveUpAfter
    // Before it is asked who loads, so that no end of a load falls in between.
    const wait = store.wakeups.begin(nameOf(namespace, key))
    const stopWatching = audience.watch(wait.ring)
    let over: string | undefined
    try {
      while (performance.now() < until) {
        const [grant, found] = await Promise.all([this.#acquire(over), this.#look()])
        // Another may have stored it and given the lease back after that look.
        const entry = found === undefined && grant?.isMine === true && store.leases.precedesReads !== true ? await this.#look() : found
        if (entry !== undefined) {
          if (grant?.isMine === true) this.#release(grant.token, false)
          return { entry, end () {} }
        }
        if (grant === undefined) return { isAway: true, end () {} }
        if (grant.isMine) return this.#mine(grant)
        over = store.isTrueSince(grant.stamp, namespace, key, this.#options.tags) ? undefined : grant.token
        if (over !== undefined) continue
        onWait(grant.stamp)
        await wait.next(store.isTrusted ? grant.left : Math.min(grant.left, UNTRUSTED_PATIENCE))
        audience.throwIfDeserted()
      }
      return { end () {} }
    } finally {
      stopWatching()
      wait.end()
      onWait(undefined)
    }
  }

  #mine ({ token, stamp, claim }: Grant & { isMine: true }): Turn {
    const { store, namespace, key, lease, onFault } = this.#options
    const renewing = setInterval(() => {
      store.leases.renew(namespace, key, token, lease).then((isHeld) => { if (!isHeld) clearInterval(renewing) })
        .catch((error: unknown) => { if (!isOutage(error)) onFault(error) })
    }, lease / RENEWALS)
    renewing.unref()
    let ended = false
    return {
      stamp,
      claim,
      end: (tell) => {
        if (ended) return
        ended = true
        clearInterval(renewing)
        this.#release(token, tell)
      }
    }
  }

  /** Undefined when the backend cannot be asked. */
  async #acquire (over: string | undefined): Promise<Grant | undefined> {
    const { store, namespace, key, lease } = this.#options
    try {
      return await store.leases.acquire(namespace, key, lease, over)
    } catch (error) {
      if (isOutage(error)) return undefined
      throw error
    }
  }

  /** What is stored now, if it is fresh and not what is to be replaced. */
  async #look (): Promise<StoredEntry | undefined> {
    const { store, now, namespace, key, known } = this.#options
    try {
      const entry = await store.latest(namespace, key)
      return entry !== undefined && entry.version !== known && entry.expiresAt > now() ? entry : undefined
    } catch (error) {
      if (isOutage(error)) return undefined
      throw error
    }
  }

  /** Nobody waits for that; without it the lease ends by itself. */
  #release (token: string, tell: boolean): void {
    const { store, namespace, key, onFault } = this.#options
    store.leases.release(namespace, key, token, tell).catch((error: unknown) => { if (!isOutage(error)) onFault(error) })
  }
}
