import { type InFlight, nameOf, type Operation } from '../in-flight.js'
import { type Grant, type LeaseGiver, type Leases, stampOf } from '../leases.js'
import type { Wakeups } from '../wakeups.js'

/** Milliseconds that a lease lasts at least from the moment on at which its holder comes to fill it. */
const FILL_TIME = 1000

/** Leases that a shared backend gives, so that all processes know of them. */
export class SharedLeases implements Leases {
  readonly isShared = true
  #giver: LeaseGiver
  #inFlight: InFlight
  #wakeups: Wakeups

  constructor (giver: LeaseGiver, inFlight: InFlight, wakeups: Wakeups) {
    this.#giver = giver
    this.#inFlight = inFlight
    this.#wakeups = wakeups
  }

  async acquire (namespace: string, key: string, milliseconds: number, over?: string): Promise<Grant> {
    return await this.#giver.acquire(namespace, key, milliseconds, over)
  }

  async renew (namespace: string, key: string, token: string, milliseconds: number): Promise<boolean> {
    return await this.#giver.renew(namespace, key, token, milliseconds)
  }

  async release (namespace: string, key: string, token: string, tell: boolean): Promise<void> {
    await this.#giver.release(namespace, key, token, tell)
    // What a process announces it does not hear itself.
    if (tell) this.#wakeups.wake(nameOf(namespace, key))
  }

  async operation (namespace: string, key: string, token: string): Promise<Operation | undefined> {
    const stamp = stampOf(token)
    if (Number.isNaN(stamp) || !await this.#giver.renew(namespace, key, token, FILL_TIME)) return undefined
    return this.#inFlight.begin(nameOf(namespace, key), stamp)
  }
}
