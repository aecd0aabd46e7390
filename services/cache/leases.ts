import { randomBytes } from 'node:crypto'
import { type Claim, nameOf, type Operation } from './in-flight.js'
import type { MaybePromise } from './stores/store.js'
import type { Wakeups } from './wakeups.js'

/**
 * The answer to who wants a lease: that it is theirs now, or that someone else has it, and for how many milliseconds at most.
 * `stamp` is the one at which it was given; `claim` is what the backend remembers of the key from then, where it has to.
 */
export type Grant =
  | { isMine: true, token: string, stamp: number, claim?: Claim }
  | { isMine: false, token: string, stamp: number, left: number }

/**
 * Leases of keys: who holds one is the one to compute the value, and the others wait for it. They save work and nothing depends
 * on them, as stamps keep old values out: a lease may be lost at any time, and who cannot get one computes without. A lease is void
 * from the moment its key is written or deleted ("Scaling Memcache at Facebook", 3.2.1).
 */
export interface LeaseGiver {
  /** Whether it may be away (LeasesAwayError) while the backend answers. Absent: no. */
  readonly isApart?: boolean
  /** Whether a read that is asked for behind `acquire` sees what was stored before the lease was given. Absent: no, they are asked of different servers. */
  readonly precedesReads?: boolean
  /** @param over the token of a lease that is known to be void, for another reason than that its key changed */
  acquire (namespace: string, key: string, milliseconds: number, over?: string): Promise<Grant>
  /** @returns whether it was still the holder's: it is for so many milliseconds more then */
  renew (namespace: string, key: string, token: string, milliseconds: number): Promise<boolean>
  /** Gives it back. `tell` those who wait, when nothing was stored that they hear of. Nothing happens when it is no longer the holder's. */
  release (namespace: string, key: string, token: string, tell: boolean): Promise<void>
}

/** Where changes of a key stand: the last stamp of all, and that of the last change of the key (no less than the epoch). */
export interface Order { readonly stamp: number, readonly changed: number }

/** Keeps who has which lease, for a backend that tells the order of changes by itself. Everything fails with LeasesAwayError when it cannot be asked. */
export interface LeaseKeeper {
  /** @param over as for a LeaseGiver */
  acquire (namespace: string, key: string, milliseconds: number, order: Order, over?: string): Promise<Grant>
  renew (namespace: string, key: string, token: string, milliseconds: number): Promise<boolean>
  release (namespace: string, key: string, token: string): Promise<void>
}

/** The leases of all processes cannot be had for the moment. Nobody outside the engine meets it: a process goes on with leases of its own. */
export class LeasesAwayError extends Error {
  constructor (cause: unknown) { super('The leases of all processes cannot be had for the moment.', { cause }) }
}

/** The leases of a store. */
export interface Leases extends LeaseGiver {
  /** Whether other processes know of them. In one process, single-flight does without. */
  readonly isShared: boolean
  /** The operation under which its holder may store the value; undefined when it is lost. `Store.end` must follow. */
  operation (namespace: string, key: string, token: string): MaybePromise<Operation | undefined>
}

export const newToken = (stamp: number): string => `${stamp}-${randomBytes(12).toString('base64url')}`

/** The stamp at which a lease was given, NaN for what is no token. */
export const stampOf = (token: string): number => /^\d{1,16}-[\w-]{16}$/.test(token) ? Number(token.slice(0, token.indexOf('-'))) : NaN

/** It has no operation before that has begun. */
interface Held {
  readonly token: string
  readonly beginning: MaybePromise<Operation>
  until: number
  timer: NodeJS.Timeout
  operation: Operation | undefined
}

export interface LocalLeasesOptions {
  now: () => number
  wakeups: Wakeups
  begin: (namespace: string, key: string) => MaybePromise<Operation>
  /** Another operation that began when this one did. */
  again: (operation: Operation) => Operation
  end: (operation: Operation) => void
}

/** Leases that one process knows of. */
export class LocalLeases implements Leases {
  readonly isShared = false
  readonly precedesReads = true
  #options: LocalLeasesOptions
  #held = new Map<string, Held>()

  constructor (options: LocalLeasesOptions) { this.#options = options }

  async acquire (namespace: string, key: string, milliseconds: number, over?: string): Promise<Grant> {
    const { now, begin, end } = this.#options
    const name = nameOf(namespace, key)
    for (let other = this.#held.get(name); other !== undefined; other = this.#held.get(name)) {
      if (other.operation === undefined) {
        // Whether it stands can only be told once it is known at which stamp it was given.
        await Promise.resolve(other.beginning).catch(() => {})
        continue
      }
      if (other.token !== over && !isVoid(other)) return { isMine: false, token: other.token, stamp: other.operation.stamp, left: other.until - now() }
      this.#drop(name, other)
    }
    const beginning = begin(namespace, key)
    const operation = beginning instanceof Promise ? undefined : beginning
    // Taken before it is known when it began, so that nobody takes it meanwhile.
    const token = newToken(operation?.stamp ?? 0)
    const held: Held = { token, beginning, until: now() + milliseconds, timer: this.#timer(name, token, milliseconds), operation }
    this.#held.set(name, held)
    try {
      held.operation ??= await beginning
    } catch (error) {
      this.#drop(name, held)
      throw error
    }
    if (this.#held.get(name) !== held) end(held.operation)
    return { isMine: true, token, stamp: held.operation.stamp }
  }

  async renew (namespace: string, key: string, token: string, milliseconds: number): Promise<boolean> {
    const held = this.#standing(namespace, key, token)
    if (held === undefined) return false
    clearTimeout(held.timer)
    held.until = this.#options.now() + milliseconds
    held.timer = this.#timer(nameOf(namespace, key), token, milliseconds)
    return true
  }

  async release (namespace: string, key: string, token: string, tell: boolean): Promise<void> {
    const name = nameOf(namespace, key)
    const held = this.#held.get(name)
    if (held?.token !== token) return
    this.#drop(name, held)
    if (tell) this.#options.wakeups.wake(name)
  }

  operation (namespace: string, key: string, token: string): Operation | undefined {
    const operation = this.#standing(namespace, key, token)?.operation
    return operation === undefined ? undefined : this.#options.again(operation)
  }

  /** Whether a lease was given here and has not ended, void or not. */
  has (namespace: string, key: string, token: string): boolean { return this.#held.get(nameOf(namespace, key))?.token === token }

  #standing (namespace: string, key: string, token: string): Held | undefined {
    const held = this.#held.get(nameOf(namespace, key))
    return held?.token === token && !isVoid(held) ? held : undefined
  }

  #timer (name: string, token: string, milliseconds: number): NodeJS.Timeout {
    return setTimeout(() => {
      const held = this.#held.get(name)
      if (held?.token !== token) return
      this.#drop(name, held)
      this.#options.wakeups.wake(name)
    }, milliseconds).unref()
  }

  #drop (name: string, held: Held): void {
    clearTimeout(held.timer)
    if (this.#held.get(name) === held) this.#held.delete(name)
    if (held.operation !== undefined) this.#options.end(held.operation)
  }
}

/** Whether its key was written or deleted since it was given. */
const isVoid = ({ operation }: Held): boolean => operation !== undefined && operation.supersededAt > 0
