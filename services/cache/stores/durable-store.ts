import type { MemoryBackend } from '../backends/memory.js'
import { Sequences } from '../sequences.js'
import type { Now } from '../clock.js'
import { goneAfterSoft, isDurable, type StoredEntry } from '../entry.js'
import { isOutage as isAway, type OnFault, warnOfFault } from '../faults.js'
import type { Matcher } from '../glob.js'
import { InFlight, nameOf, type Operation } from '../in-flight.js'
import { type Fallen, type Invalidation, Ledger } from '../ledger.js'
import type { Leases } from '../leases.js'
import type { Limits } from '../limits.js'
import type { BreakerState } from '../breaker.js'
import { Questions } from '../tiers/questions.js'
import type { Wakeups } from '../wakeups.js'
import type { Durability } from '../writers/durability.js'
import { Opening, type OpeningOptions } from '../writers/opening.js'
import { DurableView } from './durable-view.js'
import { LocalStore } from './local-store.js'
import type { ListQuery, Listing, MaybePromise, Store, Usage, WriteCondition, WriteOutcome } from './store.js'

/** How long an answer waits for entries to be counted, in milliseconds; the sweep goes on behind it. */
const COUNTING_TIME = 2000

export interface DurableStoreOptions extends Omit<OpeningOptions, 'ledger' | 'onFault'> {
  now: Now
  limits: Limits
  /** Is told of faults in work that nobody waits for. Default: a warning of the process. */
  onFault?: OnFault
}

/**
 * Memory alone for ordinary entries, and memory in front of a durable tier for those of the strategies write_through and
 * write_behind, which are found there again when memory has let go of them, and after a restart. Until there is such an entry,
 * everything is as without the tier; afterwards only names that the tier may have wait for it. While what an earlier life of the process
 * has left cannot be had, the tier may have anything: whatever memory alone cannot answer or change fails with BackendUnavailableError.
 *
 * What changes a durable key goes one after the other. What replaces or deletes one goes by the journal, also where the key was written
 * through: it holds as soon as it is there.
 */
export class DurableStore implements Store {
  readonly name = 'memory'
  readonly isTrusted = true
  readonly memory: MemoryBackend
  readonly leases: Leases
  readonly wakeups: Wakeups
  #now: Now
  #ledger = new Ledger()
  #inFlight = new InFlight()
  #local: LocalStore
  #opening: Opening
  #view: DurableView | undefined
  #turns = new Sequences()
  #fetches = new Map<string, { operation: Operation, result: Promise<StoredEntry | undefined> }>()
  #questions = new Questions()

  constructor ({ onFault = warnOfFault, limits, ...options }: DurableStoreOptions) {
    this.#now = options.now
    this.#opening = new Opening({ ...options, ledger: this.#ledger, onFault })
    this.#local = new LocalStore({ now: options.now, limits, ledger: this.#ledger, inFlight: this.#inFlight })
    this.memory = this.#local.memory
    this.leases = this.#local.leases
    this.wakeups = this.#local.wakeups
  }

  /** Takes up what earlier lives of the process have left. Where that cannot be done now it is reported, and tried again. */
  async open (): Promise<void> { await this.#opening.takeUp() }

  /** Why what was left cannot be had yet. */
  get refusal (): Error | undefined { return this.#opening.refusal }

  get breaker (): BreakerState | undefined { return this.#opening.durability?.tier.breaker }

  /** What waits to be written; undefined before the first durable entry. */
  get durability (): Durability['statistics'] | undefined { return this.#opening.durability?.statistics }

  fetch (namespace: string, key: string): MaybePromise<StoredEntry | undefined> {
    const { durability, refusal } = this.#opening
    if (refusal !== undefined) return Promise.reject(refusal)
    if (durability === undefined) return undefined
    const name = nameOf(namespace, key)
    const pending = durability.behind.lookup(name)
    if (pending !== undefined) return pending.entry === undefined ? undefined : this.#accepted(pending.entry, !pending.isResumed)
    if (!durability.presence.mayHold(name)) return undefined
    const underway = this.#fetches.get(name)
    if (underway !== undefined && underway.operation.supersededAt === 0) return underway.result
    const operation = this.#inFlight.begin(name, this.#ledger.stamp)
    const result = this.#fetch(durability, namespace, key, operation).finally(() => {
      this.#inFlight.end(operation)
      if (this.#fetches.get(name)?.operation === operation) this.#fetches.delete(name)
    })
    this.#fetches.set(name, { operation, result })
    return result
  }

  async fetchMany (namespace: string, keys: readonly string[]): Promise<(StoredEntry | undefined)[]> {
    return await Promise.all(keys.map(async (key) => await this.fetch(namespace, key)))
  }

  latest (namespace: string, key: string): MaybePromise<StoredEntry | undefined> {
    return this.#local.latest(namespace, key) ?? this.fetch(namespace, key)
  }

  begin (namespace: string, key: string): Operation { return this.#local.begin(namespace, key) }
  resume (namespace: string, key: string, stamp: number | undefined): Operation { return this.#local.resume(namespace, key, stamp) }
  end (operation: Operation): void { this.#local.end(operation) }

  isCurrent (operation: Operation, namespace: string, key: string, tags: readonly string[] | undefined): boolean {
    return this.#local.isCurrent(operation, namespace, key, tags)
  }

  isTrueSince (stamp: number, namespace: string, key: string, tags: readonly string[] | undefined): boolean {
    return this.#local.isTrueSince(stamp, namespace, key, tags)
  }

  set (entry: StoredEntry, condition?: WriteCondition): MaybePromise<WriteOutcome> {
    if (!isDurable(entry.strategy) && !this.#mayHold(entry.namespace, entry.key)) return this.#local.set(entry, condition)
    return this.#inOrder(entry.namespace, entry.key, async () => {
      if (condition !== undefined && !await this.#permits(entry.namespace, entry.key, condition)) return 'precondition'
      return await this.#store(entry)
    })
  }

  fill (operation: Operation, entry: StoredEntry): MaybePromise<WriteOutcome> {
    if (!isDurable(entry.strategy) && !this.#mayHold(entry.namespace, entry.key)) return this.#local.fill(operation, entry)
    return this.#inOrder(entry.namespace, entry.key, async () => {
      if (operation.supersededAt > 0 || this.#hasFallen({ ...entry, stamp: operation.stamp })) return 'superseded'
      this.#inFlight.supersedeOlder(operation)
      return await this.#store(entry, operation)
    })
  }

  replace (operation: Operation, entry: StoredEntry): MaybePromise<WriteOutcome> {
    const { namespace, key } = entry
    if (!isDurable(entry.strategy) && !this.#mayHold(namespace, key)) return this.#local.replace(operation, entry)
    this.#inFlight.supersede(operation.name, operation)
    return this.#inOrder(namespace, key, async () => {
      if (operation.supersededAt > 0 || this.#hasFallen({ ...entry, stamp: operation.stamp })) {
        await this.#drop(namespace, key)
        return 'superseded'
      }
      return await this.#store(entry, operation)
    })
  }

  delete (namespace: string, key: string, condition?: WriteCondition): MaybePromise<WriteOutcome> {
    if (!this.#mayHold(namespace, key)) return this.#local.delete(namespace, key, condition)
    return this.#inOrder(namespace, key, async () => {
      if (condition !== undefined && !await this.#permits(namespace, key, condition)) return 'precondition'
      const existed = condition !== undefined || await this.#exists(namespace, key)
      await this.#drop(namespace, key)
      return { stamp: this.#ledger.stamp, existed }
    })
  }

  async forget (namespace: string, key: string): Promise<void> { await this.delete(namespace, key) }

  expire (entry: StoredEntry, expiresAt: number, goneAt: number): MaybePromise<WriteOutcome> {
    const { namespace, key } = entry
    if (!isDurable(entry.strategy) && !this.#mayHold(namespace, key)) return this.#local.expire(entry, expiresAt, goneAt)
    return this.#inOrder(namespace, key, async () => {
      const current = await this.#current(namespace, key)
      if (current === undefined || current.version !== entry.version) return 'precondition'
      if (isDurable(current.strategy)) await this.#write({ ...current, expiresAt, goneAt })
      const slot = this.memory.find(namespace, key)
      if (slot !== -1 && this.memory.versionAt(slot) === entry.version) this.memory.expire(slot, expiresAt, goneAt)
      this.#changed(nameOf(namespace, key))
      return { stamp: this.#ledger.stamp, existed: true }
    })
  }

  noteRead (): void {}

  async invalidate (namespace: string, what: Invalidation): Promise<Fallen> {
    const durability = this.#opening.known
    if (durability === undefined || !durability.presence.mayHoldAny(namespace)) return await this.#local.invalidate(namespace, what)
    const marker = this.#ledger.record(namespace, what)
    const { swept, sweep } = await durability.invalidate(namespace, what, marker.stamp)
    let timer: NodeJS.Timeout | undefined
    const enough = new Promise<void>((resolve) => { timer = setTimeout(resolve, COUNTING_TIME) })
    await Promise.all([this.memory.sweep(), Promise.race([swept, enough])]).finally(() => { clearTimeout(timer) })
    return { removed: marker.removed + sweep.removed, outdated: marker.outdated + sweep.outdated }
  }

  async outdate (namespace: string, what: Invalidation): Promise<void> {
    const durability = this.#opening.known
    if (durability === undefined || !durability.presence.mayHoldAny(namespace)) {
      await this.#local.outdate(namespace, what)
      return
    }
    await durability.invalidate(namespace, what, this.#ledger.record(namespace, what).stamp)
  }

  async list (namespace: string, query: ListQuery): Promise<Listing> {
    const view = this.#behind()
    return view !== undefined && this.#isMixed(namespace, query) ? await view.list(namespace, query) : await this.#local.list(namespace, query)
  }

  async * dump (namespace: string | undefined, matches: Matcher): AsyncIterable<StoredEntry[]> {
    // Durable ones, wherever they are, come from where they cannot move on: between memory and the tier they could be missed in both.
    const view = this.#behind()
    for await (const entries of this.#local.dump(namespace, matches)) yield view === undefined ? entries : entries.filter(({ strategy }) => !isDurable(strategy))
    if (view !== undefined) yield * view.dump(namespace, matches)
  }

  async * outlines (namespace: string): AsyncIterable<readonly Pick<StoredEntry, 'key' | 'tags' | 'expiresAt' | 'goneAt'>[]> {
    yield * this.#local.outlines(namespace)
    // Those that are in memory as well come twice.
    const view = this.#behind()
    if (view !== undefined) yield * view.outlines(namespace)
  }

  async usage (namespace?: string): Promise<Usage> {
    const view = this.#behind()
    const usage = await this.#local.usage(namespace)
    if (view === undefined) return usage
    const behind = await view.usage(namespace)
    return { items: usage.items + behind.items, bytes: usage.bytes + behind.bytes }
  }

  configure (limits: Limits): void { this.#local.configure(limits) }

  async settled (): Promise<void> { await this.#local.settled() }

  async clean (): Promise<void> {
    const { durability } = this.#opening
    await this.#local.clean(({ stamp }) => durability?.isInForce(stamp) === true)
    await durability?.clean()
  }

  async close (): Promise<void> {
    await this.#opening.close()
    await this.#local.close()
  }

  /** What there is over memory and the tier; undefined before the first durable entry. */
  #behind (): DurableView | undefined {
    const durability = this.#opening.known
    if (durability === undefined) return undefined
    this.#view ??= new DurableView({ durability, local: this.#local, now: this.#now, verdict: (entry) => this.#verdict(entry) })
    return this.#view
  }

  /** Whether the tier may have something under the key, now or when what is under way is done. */
  #mayHold (namespace: string, key: string): boolean {
    const { durability, refusal, isUnderway } = this.#opening
    if (refusal !== undefined) return true
    if (durability === undefined && !isUnderway) return false
    const name = nameOf(namespace, key)
    if (this.#turns.has(name)) return true
    if (durability === undefined) return false
    const pending = durability.behind.lookup(name)
    return pending === undefined ? durability.presence.mayHold(name) : pending.entry !== undefined
  }

  #isMixed (namespace: string, { cursor }: ListQuery): boolean {
    return cursor === undefined ? this.#opening.durability?.presence.mayHoldAny(namespace) === true : DurableView.isCursor(cursor)
  }

  async #inOrder (namespace: string, key: string, change: () => Promise<WriteOutcome>): Promise<WriteOutcome> {
    return await this.#turns.take(nameOf(namespace, key), change, () => false)
  }

  /** Stores the entry where its strategy says; what a load brought is only as new as the load. */
  async #store (entry: StoredEntry, operation?: Operation): Promise<WriteOutcome> {
    const { namespace, key } = entry
    const refusal = this.memory.refusal(entry)
    if (refusal !== undefined) throw refusal
    const existed = this.memory.find(namespace, key) !== -1
    if (!isDurable(entry.strategy)) {
      await this.#drop(namespace, key)
      this.memory.put({ ...entry, stamp: operation?.stamp ?? this.#ledger.stamp })
      this.#changed(nameOf(namespace, key), operation)
      return { stamp: this.#ledger.stamp, existed }
    }
    const stored = { ...entry, stamp: operation?.stamp ?? this.#ledger.stamp }
    await this.#write(stored)
    this.#keep(stored)
    this.#changed(nameOf(namespace, key), operation)
    // An invalidation came meanwhile, whose sweep may have been over before the entry was there.
    if (this.#hasFallen(stored)) await this.#drop(namespace, key)
    return { stamp: stored.stamp, existed }
  }

  async #write (entry: StoredEntry): Promise<void> {
    const durability = await this.#opening.open()
    // So that no invalidation which comes meanwhile is forgotten before it has been held against the entry.
    const operation = this.#inFlight.begin(nameOf(entry.namespace, entry.key), entry.stamp)
    try {
      if (entry.strategy === 'write_through') await durability.writeThrough(entry)
      else await durability.writeBehind(entry.namespace, entry.key, entry)
    } catch (error) {
      // Nobody knows whether it came through: the tier has the truth.
      this.memory.delete(entry.namespace, entry.key)
      throw error
    } finally {
      this.#inFlight.end(operation)
    }
  }

  /** Deletes the key, in the tier as well where that may have it. */
  async #drop (namespace: string, key: string): Promise<void> {
    const name = nameOf(namespace, key)
    const durability = this.#opening.known
    if (durability !== undefined) {
      const pending = durability.behind.lookup(name)
      if (pending === undefined ? durability.presence.mayHold(name) : pending.entry !== undefined) await durability.writeBehind(namespace, key, undefined)
    }
    this.memory.delete(namespace, key)
    this.#changed(name)
  }

  /** What is under way for the key is too old for it, and whoever waits for it has something to look at. */
  #changed (name: string, by?: Operation): void {
    this.#inFlight.supersede(name, by)
    this.wakeups.wake(name)
  }

  async #permits (namespace: string, key: string, condition: WriteCondition): Promise<boolean> {
    const current = await this.#current(namespace, key)
    const isThere = current !== undefined && current.expiresAt > this.#now()
    return 'absent' in condition ? !isThere : isThere && current.version === condition.version
  }

  /** While the tier does not answer, what it may have counts as there: the deletion holds all the same. */
  async #exists (namespace: string, key: string): Promise<boolean> {
    try {
      const current = await this.#current(namespace, key)
      return current !== undefined && current.expiresAt > this.#now()
    } catch (error) {
      if (!isAway(error)) throw error
      return true
    }
  }

  async #current (namespace: string, key: string): Promise<StoredEntry | undefined> { return await this.latest(namespace, key) }

  async #fetch (durability: Durability, namespace: string, key: string, operation: Operation): Promise<StoredEntry | undefined> {
    const entry = await this.#questions.ask(durability.tier, namespace, key)
    const isNewest = operation.supersededAt === 0
    if (entry === undefined) {
      if (isNewest) durability.presence.noteAbsent(operation.name)
      return undefined
    }
    return this.#accepted(entry, isNewest)
  }

  /** The entry from behind memory if it may be seen, put into memory if it may be kept. */
  #accepted (entry: StoredEntry, isNewest: boolean): StoredEntry | undefined {
    const marker = this.#verdict(entry)
    if (marker !== undefined && !marker.soft) return undefined
    const accepted = marker === undefined ? { ...entry, storedLength: undefined } : { ...entry, storedLength: undefined, expiresAt: Math.min(entry.expiresAt, this.#now()), goneAt: goneAfterSoft(entry, this.#now()) }
    if (accepted.goneAt <= this.#now()) return undefined
    if (isNewest) this.#keep(accepted)
    return accepted
  }

  /** In memory, where its limits allow it: they may have changed since it was written. */
  #keep (entry: StoredEntry): void {
    if (this.memory.refusal(entry) === undefined) this.memory.put(entry)
    else this.memory.delete(entry.namespace, entry.key)
  }

  #verdict ({ namespace, key, tags, stamp }: Omit<StoredEntry, 'value'>): ReturnType<ReturnType<Ledger['namespace']>['verdict']> {
    return this.#ledger.namespace(namespace).verdict(key, tags, stamp, 0)
  }

  /** Whether a hard invalidation came since the entry's stamp. (After a soft one the value is kept, as stale.) */
  #hasFallen (entry: StoredEntry): boolean { return this.#verdict(entry)?.soft === false }
}
