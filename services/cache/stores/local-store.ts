import { setImmediate as nextTurn } from 'node:timers/promises'
import { MemoryBackend } from '../backends/memory.js'
import type { Now } from '../clock.js'
import { isDurable, type StoredEntry } from '../entry.js'
import { UnsupportedOperationError } from '../errors.js'
import type { Matcher } from '../glob.js'
import { InFlight, nameOf, type Operation } from '../in-flight.js'
import { LocalLeases } from '../leases.js'
import { type Fallen, type Invalidation, Ledger, type Marker } from '../ledger.js'
import type { Limits } from '../limits.js'
import { Wakeups } from '../wakeups.js'
import type { ListQuery, Listing, Store, Usage, WriteCondition, WriteOutcome } from './store.js'

const NO_TIER = 'There is no durable tier here for write_through and write_behind: use another strategy.'

/** Memory alone. Nothing here waits but the passes over all entries. */
export class LocalStore implements Store {
  readonly name = 'memory'
  readonly isTrusted = true
  readonly memory: MemoryBackend
  readonly wakeups = new Wakeups()
  readonly leases: LocalLeases
  #ledger: Ledger
  #inFlight: InFlight

  /** @param options with a ledger and operations of its own, unless something else needs them too */
  constructor ({ now, limits, ledger = new Ledger(), inFlight = new InFlight() }: { now: Now, limits: Limits, ledger?: Ledger, inFlight?: InFlight }) {
    this.#ledger = ledger
    this.#inFlight = inFlight
    this.memory = new MemoryBackend({ now, limits, ledger: this.#ledger })
    this.leases = new LocalLeases({
      now,
      wakeups: this.wakeups,
      begin: (namespace, key) => this.begin(namespace, key),
      again: (operation) => this.#inFlight.again(operation),
      end: (operation) => { this.end(operation) }
    })
  }

  fetch (): undefined { return undefined }
  fetchMany (_namespace: string, keys: readonly string[]): undefined[] { return keys.map(() => undefined) }

  latest (namespace: string, key: string): StoredEntry | undefined {
    const slot = this.memory.find(namespace, key)
    return slot === -1 ? undefined : this.memory.stored(slot)
  }

  begin (namespace: string, key: string): Operation { return this.#inFlight.begin(nameOf(namespace, key), this.#ledger.stamp) }

  resume (namespace: string, key: string, stamp: number | undefined): Operation {
    return this.#inFlight.begin(nameOf(namespace, key), stamp ?? this.#ledger.stamp, stamp !== undefined)
  }

  end (operation: Operation): void { this.#inFlight.end(operation) }

  isCurrent (operation: Operation, namespace: string, key: string, tags: readonly string[] | undefined): boolean {
    return operation.supersededAt === 0 && this.isTrueSince(operation.stamp, namespace, key, tags)
  }

  isTrueSince (stamp: number, namespace: string, key: string, tags: readonly string[] | undefined): boolean {
    return this.#ledger.namespace(namespace).isCurrent(key, tags, stamp)
  }

  /** @throws UnsupportedOperationError for the strategies that need a durable tier: see `DurableStore` */
  set (entry: StoredEntry, condition?: WriteCondition): WriteOutcome {
    if (isDurable(entry.strategy)) throw new UnsupportedOperationError(NO_TIER)
    const slot = this.memory.find(entry.namespace, entry.key)
    if (condition !== undefined && !this.#permits(slot, condition)) return 'precondition'
    const existed = slot !== -1
    this.memory.put(entry, this.#ledger.stamp)
    this.#changed(entry.namespace, entry.key)
    return { stamp: this.#ledger.stamp, existed }
  }

  fill (operation: Operation, entry: StoredEntry): WriteOutcome {
    if (isDurable(entry.strategy)) throw new UnsupportedOperationError(NO_TIER)
    if (operation.supersededAt > 0 || this.#hasFallen(entry, operation)) return 'superseded'
    this.memory.put(entry, operation.stamp)
    this.#inFlight.supersedeOlder(operation)
    this.wakeups.wake(operation.name)
    return { stamp: operation.stamp, existed: false }
  }

  replace (operation: Operation, entry: StoredEntry): WriteOutcome {
    if (isDurable(entry.strategy)) throw new UnsupportedOperationError(NO_TIER)
    this.#inFlight.supersede(operation.name, operation)
    if (operation.supersededAt > 0 || this.#hasFallen(entry, operation)) {
      this.memory.delete(entry.namespace, entry.key)
      return 'superseded'
    }
    this.memory.put(entry, operation.stamp)
    this.wakeups.wake(operation.name)
    return { stamp: operation.stamp, existed: false }
  }

  delete (namespace: string, key: string, condition?: WriteCondition): WriteOutcome {
    if (condition !== undefined && !this.#permits(this.memory.find(namespace, key), condition)) return 'precondition'
    const existed = this.memory.delete(namespace, key)
    this.#changed(namespace, key)
    return { stamp: this.#ledger.stamp, existed }
  }

  async forget (namespace: string, key: string): Promise<void> { this.delete(namespace, key) }

  expire (entry: StoredEntry, expiresAt: number, goneAt: number): WriteOutcome {
    const slot = this.memory.find(entry.namespace, entry.key)
    if (slot === -1 || this.memory.versionAt(slot) !== entry.version) return 'precondition'
    this.memory.expire(slot, expiresAt, goneAt)
    return { stamp: this.#ledger.stamp, existed: true }
  }

  noteRead (): void {}

  async invalidate (namespace: string, what: Invalidation): Promise<Fallen> {
    const marker = this.#ledger.record(namespace, what)
    await this.clean()
    return marker
  }

  async outdate (namespace: string, what: Invalidation): Promise<void> { this.#ledger.record(namespace, what) }

  async list (namespace: string, query: ListQuery): Promise<Listing> { return await this.memory.list(namespace, query) }

  async * dump (namespace: string | undefined, matches: Matcher): AsyncIterable<StoredEntry[]> {
    let slot = 0
    while (slot !== -1) {
      const { entries, next } = this.memory.portion(slot, namespace, matches)
      if (entries.length > 0) yield entries
      await nextTurn()
      slot = next
    }
  }

  outlines (namespace: string): AsyncIterable<StoredEntry[]> { return this.dump(namespace, () => true) }

  async usage (namespace?: string): Promise<Usage> {
    return await this.memory.measure(namespace)
  }

  configure (limits: Limits): void { this.memory.configure(limits) }

  async settled (): Promise<void> { await this.memory.settled() }

  /** @param isInForce markers that entries elsewhere may still fall to; default none */
  async clean (isInForce?: (marker: Marker) => boolean): Promise<void> {
    const { revision } = this.#ledger
    // As it is before the pass: a load that ends during it may fill a slot that the pass is through with.
    const oldest = this.#inFlight.oldest()
    await this.memory.sweep()
    this.#ledger.retire(revision, oldest, (namespace) => this.memory.holds(namespace), isInForce)
  }

  async close (): Promise<void> {}

  /** Tells whoever loads the key or waits for it. Mostly nobody does, and then it is not even named. */
  #changed (namespace: string, key: string): void {
    if (this.#inFlight.isIdle && this.wakeups.isIdle) return
    const name = nameOf(namespace, key)
    this.#inFlight.supersede(name)
    this.wakeups.wake(name)
  }

  /** Whether a hard invalidation came since the operation began. (After a soft one the value is kept, as stale.) */
  #hasFallen ({ namespace, key, tags }: StoredEntry, { stamp }: Operation): boolean {
    return this.#ledger.namespace(namespace).verdict(key, tags, stamp, 0)?.soft === false
  }

  #permits (slot: number, condition: WriteCondition): boolean {
    const present = slot !== -1 && this.memory.isFresh(slot)
    if ('absent' in condition) return !present
    return present && this.memory.versionAt(slot) === condition.version
  }
}
