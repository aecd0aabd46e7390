import { randomBytes } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { type Caller, throwIfGone } from '../../caller.js'
import { BackendUnavailableError } from '../../errors.js'
import { isOutage as isAway, type OnFault } from '../../faults.js'
import { nameOf } from '../../in-flight.js'
import { ONCE, IDEMPOTENT } from '../../resilience.js'
import { type QueueState, Turns } from '../../turns.js'
import type { WriteOutcome } from '../backend.js'
import type { BegunChange, Place } from '../coordination/coordination.js'
import { Patience } from '../patience.js'
import { Sequences } from '../../sequences.js'
import type { Item, Stored } from './client.js'
import { AWAY, type ItemAccess } from './item-access.js'
import type { ItemName } from './names.js'

/** Seconds for which a load's claim is kept: longer than any load may take. */
export const CLAIM_TIME = 120
/** Changes that are made at once. More wait, as long as for one operation. */
const AT_ONCE = 64
/** How often and for how many milliseconds a change is tried again that others came before. */
export const TRIES = 100
const TRYING_TIME = 1000
/** A change that was begun so many milliseconds ago is over, or its maker is. */
const ABANDONED_AFTER = 5000
const SETTLE_INTERVAL = 1000
export const CONTENDED = 'Too many others change this key at the same time: try again in a moment.'

/** What a change does to the item that it found, and how it went then. */
export interface Plan {
  act: 'remove' | 'leave' | Stored
  outcome: WriteOutcome
  /** Thrown once it is done. */
  error?: Error
}

/** What to do, by the item as it is. */
export type Decide = (name: ItemName, item: Item | undefined, place: Place) => Plan | 'precondition' | Promise<Plan | 'precondition'>

/** The changes of items, each of them begun, made and announced: see `MemcachedBackend`. */
export class Changes {
  #items: ItemAccess
  #onFault: OnFault
  #source = randomBytes(6).toString('hex')
  #count = 0
  #sequences = new Sequences()
  #turns = new Turns(AT_ONCE, Infinity)
  #patience: Patience
  #settling: NodeJS.Timeout | undefined
  #isSettling = false

  constructor (items: ItemAccess, onFault: OnFault) {
    this.#items = items
    this.#onFault = onFault
    this.#patience = new Patience({ name: 'memcached', away: AWAY, deadline: items.deadline, answeredAt: () => items.answeredAt })
  }

  /** What waits for its turn, or for another change of its key. */
  get queue (): QueueState { return this.#patience }

  /**
   * @param decide called again whenever another change came before
   * @param caller once it has gone, a change that has not been made yet is not begun, or given up
   */
  async make (namespace: string, key: string, decide: Decide, caller?: Caller): Promise<WriteOutcome> {
    return await this.#patience.take(async () => await this.#make(namespace, key, decide, caller),
      async (begin) => await this.#sequences.take(nameOf(namespace, key), async () => await this.#turns.take(begin), isAway), caller)
  }

  /** From now on, ends what was begun and never announced, here or in a process that is gone. */
  watch (): void { this.#settling = setInterval(() => { void this.#settle() }, SETTLE_INTERVAL).unref() }

  stop (): void { clearInterval(this.#settling) }

  async #make (namespace: string, key: string, decide: Decide, caller: Caller | undefined): Promise<WriteOutcome> {
    const items = this.#items
    const { coordination } = items
    const change = { id: `${this.#source}:${this.#count++}`, namespace, key }
    const before = await coordination.place()
    const reading = items.item(items.names(before).of(namespace, key))
    reading.catch(() => {}) // it is waited for below
    const place = await coordination.begin(change)
    const name = items.names(place).of(namespace, key)
    let mayBeMade = false
    try {
      const until = performance.now() + TRYING_TIME
      let item = place.epoch === before.epoch ? await reading : await items.item(name)
      for (let tries = 0; tries < TRIES && performance.now() < until; tries++) {
        const plan = await decide(name, item, place)
        if (plan === 'precondition') {
          this.#cancel(change)
          return plan
        }
        mayBeMade = plan.act !== 'leave'
        if (await this.#act(name, item, plan.act)) {
          await coordination.announce(namespace, key, change.id)
          if (plan.error !== undefined) throw plan.error
          return plan.outcome
        }
        mayBeMade = false
        throwIfGone(caller)
        item = await items.item(name)
      }
      throw new BackendUnavailableError(CONTENDED)
    } catch (error) {
      // Otherwise it stays begun, and is settled later.
      if (!mayBeMade) this.#cancel(change)
      throw error
    }
  }

  /** Whether the item was still the one that was read. */
  async #act (name: ItemName, item: Item | undefined, act: Plan['act']): Promise<boolean> {
    if (act === 'leave') return true
    const { client } = this.#items
    if (act === 'remove') return item === undefined || await this.#items.run(async () => await client.remove(name, item), ONCE)
    return await this.#items.run(async () => await client.store(name, act, item), ONCE)
  }

  #cancel ({ id }: BegunChange): void {
    // If it cannot be told, it is settled like one that may have been made.
    this.#items.coordination.cancel(id).catch(() => {})
  }

  async #settle (): Promise<void> {
    const { coordination } = this.#items
    if (this.#isSettling || !coordination.isFollowing) return
    this.#isSettling = true
    try {
      for (const change of await coordination.abandoned(ABANDONED_AFTER)) {
        await this.#sequences.take(nameOf(change.namespace, change.key), async () => {
          await this.#fence(change)
          await coordination.announceForeign(change)
        }, isAway)
      }
    } catch (error) {
      // What is left is tried again.
      if (!isAway(error)) this.#onFault(error)
    } finally {
      this.#isSettling = false
    }
  }

  /** Gives the item another CAS value, so that no change on its way to the server can still be made. Its content stays. */
  async #fence ({ namespace, key }: BegunChange): Promise<void> {
    const { client, coordination } = this.#items
    const name = this.#items.names(await coordination.place()).of(namespace, key)
    for (let tries = 0; tries < TRIES; tries++) {
      const item = await this.#items.run(async () => await client.get(name, { ttl: true }), IDEMPOTENT)
      const { value = Buffer.alloc(0), flags = 0, ttl = CLAIM_TIME } = item ?? {}
      if (await this.#act(name, item, { value, flags, expiry: client.expiry(ttl * 1000) })) return
    }
  }
}
