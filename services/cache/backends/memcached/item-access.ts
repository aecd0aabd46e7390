import type { Caller } from '../../caller.js'
import type { Now } from '../../clock.js'
import { prefixLength } from '../../record.js'
import type { Facts, RecordFormat } from '../../record-format.js'
import type { BreakerState, BreakerSwitch } from '../../breaker.js'
import { IDEMPOTENT, type Repeatable } from '../../resilience.js'
import type { Retry } from '../../retry.js'
import { type QueueState, Turns } from '../../turns.js'
import type { Coordination, Place } from '../coordination/coordination.js'
import { Guard } from '../guard.js'
import type { Item, MemcachedClient } from './client.js'
import { isFull, isOutage, isTooLarge, passing } from './faults.js'
import { ItemTooLargeError } from './item-too-large.js'
import { unframe } from './items.js'
import { type ItemName, ItemNames } from './names.js'

/** Requests on their way at once. More wait, within their deadline. */
const AT_ONCE = 256
/** How many times as long as an operation a step of a pass over everything may take. */
export const SCAN_FACTOR = 5
export const AWAY = 'memcached does not answer: try again in a moment; if it stays so, check MEMCACHED_URL and the server.'

/** An item as an entry, if it holds one that is not gone. */
export interface Live { facts: Facts, record: Buffer }

export interface ItemAccessOptions {
  client: MemcachedClient
  coordination: Coordination
  now: Now
  /** Before every name. Safe, and without a colon. */
  prefix: string
  format: RecordFormat
  /** Milliseconds that an operation may take. */
  deadline: number
  /** Tries again, within the deadline, what failed for a passing reason. */
  retry: Retry | undefined
}

/** The items of one cache: their names in the epoch that it is, what is in them, and operations on them in time. */
export class ItemAccess {
  readonly client: MemcachedClient
  readonly coordination: Coordination
  readonly format: RecordFormat
  readonly now: Now
  /** Milliseconds that an operation may take. */
  readonly deadline: number
  #prefix: string
  #named: { epoch: string, names: ItemNames } | undefined
  #turns = new Turns(AT_ONCE)
  #guard: Guard

  constructor ({ client, coordination, now, prefix, format, deadline, retry }: ItemAccessOptions) {
    this.client = client
    this.coordination = coordination
    this.now = now
    this.format = format
    this.#prefix = prefix
    this.deadline = deadline
    this.#guard = new Guard({ name: 'memcached', away: AWAY, isOutage, isFull, retry, passing, isConnected: () => client.isReady, turns: this.#turns })
  }

  /** Of memcached, or of the coordinator when that is in the worse state. */
  get breaker (): BreakerState { return this.#guard.state === 'closed' ? this.coordination.breaker : this.#guard.state }
  /** Of memcached itself. */
  get switch (): BreakerSwitch { return this.#guard.switch }
  /** What waits for memcached itself. */
  get queue (): QueueState { return this.#turns }
  /** When memcached last answered anything in time, on the clock of `performance`. */
  get answeredAt (): number { return this.#guard.answeredAt }

  names ({ epoch }: Place): ItemNames {
    if (this.#named?.epoch !== epoch) this.#named = { epoch, names: new ItemNames(this.#prefix, Number(epoch).toString(36)) }
    return this.#named.names
  }

  /**
   * @param repeatable default: the operation is not tried again
   * @throws BackendUnavailableError · BackendFullError · ItemTooLargeError
   */
  async run<T> (operation: () => Promise<T>, repeatable?: Repeatable, factor = 1, caller?: Caller): Promise<T> {
    try {
      return await this.#guard.run(operation, factor * this.deadline, repeatable, false, caller)
    } catch (error) {
      // Larger than the server said that it takes.
      throw isTooLarge(error) ? new ItemTooLargeError(this.client.itemSize, this.client.itemSize) : error
    }
  }

  async item (name: ItemName): Promise<Item | undefined> { return await this.run(async () => await this.client.get(name), IDEMPOTENT) }

  live (namespace: string, key: string, item: Item | undefined, { skew }: Place): Live | undefined {
    const stored = item === undefined ? undefined : unframe(item)
    if (stored === undefined || (stored.key !== undefined && stored.key !== key)) return undefined
    const { record } = stored
    const facts = this.format.facts(namespace, key, record.subarray(0, prefixLength(record)), skew)
    // The server counts whole seconds.
    return facts === undefined || facts.goneAt <= this.now() ? undefined : { facts, record }
  }

  /** The same for one who wants to change it: what cannot be read is as good as absent. */
  present (namespace: string, key: string, item: Item | undefined, place: Place): Live | undefined {
    const live = this.live(namespace, key, item, place)
    return live?.facts.isUnreadable === true ? undefined : live
  }
}
