import { type Caller, throwIfGone } from '../../caller.js'
import type { Now } from '../../clock.js'
import { goneBy, type StoredEntry } from '../../entry.js'
import { UnsupportedOperationError } from '../../errors.js'
import { type OnFault, warnOfFault } from '../../faults.js'
import type { Invalidation } from '../../ledger.js'
import type { LeaseGiver } from '../../leases.js'
import { type Facts, type PackedRecord, RecordFormat } from '../../record-format.js'
import type { BreakerState, BreakerSwitch } from '../../breaker.js'
import { IDEMPOTENT } from '../../resilience.js'
import type { Retry } from '../../retry.js'
import type { QueueState } from '../../turns.js'
import type { ChangeListener, Claim, InForce, ScannedEntry, SharedBackend, WriteCondition, WriteOutcome } from '../backend.js'
import type { Coordination, Place } from '../coordination/coordination.js'
import { Changes, CLAIM_TIME } from './changes.js'
import type { Hold, MemcachedClient, Stored } from './client.js'
import { NO_DUMP } from './dump.js'
import { ItemAccess } from './item-access.js'
import { type Discarded, ItemScan } from './item-scan.js'
import { ItemTooLargeError } from './item-too-large.js'
import { frame } from './items.js'
import type { ItemName } from './names.js'
import { BATCH, ReadCounts } from './read-counts.js'

/** How long an operation may take, in milliseconds. */
const DEADLINE = 200
/** Offsets in a record: see record.ts. */
const EXPIRES_AT = 32
const GONE_AT = 40

export interface MemcachedOptions {
  /** Not closed here. */
  client: MemcachedClient
  /** Closed with the backend. */
  coordination: Coordination
  now: Now
  /** Before every name. Safe, and without a colon. Default `larder`. */
  prefix?: string
  /** Default: JSON text as it is. */
  format?: RecordFormat
  /** Milliseconds that an operation may take. Default 200. A step of a pass over everything may take five times as long. */
  deadline?: number
  /** Tries again, within the deadline, what failed for a passing reason. Default: nothing is tried again. */
  retry?: Retry | undefined
  /** Is told of faults in work that nobody waits for. Default: a warning of the process. */
  onFault?: OnFault
}

type ItemClaim = Claim & Hold
/** A CAS value, and the run of the server that gave it. */
const CLAIM_TOKEN = /^(\d{1,20})-([\w-]{1,32})$/

/**
 * Entries in memcached, as one item each, in an order that is kept elsewhere (see `Coordination`). memcached may forget anything at
 * any time, and has no step that changes an item and announces it, so this is what the order rests on:
 *
 * - Every change of an item is a compare-and-swap on the item as it was read, so changes of a key come one after the other, and
 *   conditions are checked and written in one step. One that is carried out late, after its maker gave it up, finds another item.
 * - A change is begun with the coordinator, made, and announced. An entry carries the stamp that the counter had when its write began.
 *   Whatever changes the item later is announced later, with a higher stamp: who holds the entry in memory drops it then. And an
 *   invalidation that came before the write has a stamp that is not higher, one that comes after it a higher one.
 * - What was begun and not announced (its maker died, or had no answer) is found after some seconds by any process: it fences the key,
 *   so that nothing of the old change can still happen, and announces it. Until then others may hold the value from before the change.
 * - A load claims the item before it begins: the one that is there, or an empty one in its place. Its value is stored over exactly
 *   that item, so any change, removal, eviction or flush in between keeps it out, and no tombstone has to survive anywhere. What
 *   was evicted meanwhile costs a fill, never brings back a value that was deleted.
 * - Names begin with the coordinator's epoch. When its counter is lost or may have gone back, nothing that was stored before can be
 *   held against invalidations any more, and nothing of it is found any more.
 *
 * A value of which memcached has lost the item may still be in the memory of processes. It is as valid there as before.
 */
export class MemcachedBackend implements SharedBackend {
  readonly name = 'memcached'
  readonly format: RecordFormat
  readonly coordination: Coordination
  #client: MemcachedClient
  #now: Now
  #items: ItemAccess
  #changes: Changes
  #scan: ItemScan
  #reads: ReadCounts

  constructor ({ client, coordination, now, prefix = 'larder', format = new RecordFormat(), deadline = DEADLINE, retry, onFault = warnOfFault }: MemcachedOptions) {
    this.#client = client
    this.coordination = coordination
    this.#now = now
    this.format = format
    this.#items = new ItemAccess({ client, coordination, now, prefix, format, deadline, retry })
    this.#changes = new Changes(this.#items, onFault)
    this.#scan = new ItemScan(this.#items)
    this.#reads = new ReadCounts(this.#items, onFault)
  }

  get isFollowing (): boolean { return this.coordination.isFollowing }
  get leases (): LeaseGiver | undefined { return this.coordination.leases }

  get breaker (): BreakerState { return this.#items.breaker }
  get switch (): BreakerSwitch { return this.#items.switch }
  get queues (): QueueState[] { return [this.#items.queue, this.#changes.queue] }

  async get (namespace: string, key: string, caller?: Caller): Promise<StoredEntry | undefined> {
    const [entry] = await this.getMany(namespace, [key], caller)
    return entry
  }

  async getMany (namespace: string, keys: readonly string[], caller?: Caller): Promise<(StoredEntry | undefined)[]> {
    const place = await this.coordination.place()
    const entries: (StoredEntry | undefined)[] = []
    for (let from = 0; from < keys.length; from += BATCH) {
      if (from > 0) throwIfGone(caller)
      const batch = keys.slice(from, from + BATCH)
      entries.push(...await this.#entries(namespace, batch, place, caller))
    }
    return entries
  }

  async stamp (): Promise<number> { return (await this.coordination.stamp()).stamp }

  async claim (namespace: string, key: string, token?: string): Promise<ItemClaim | undefined> {
    const name = this.#items.names(await this.coordination.place()).of(namespace, key)
    const { instance } = this.#client
    if (token !== undefined) {
      const [, cas, of] = CLAIM_TOKEN.exec(token) ?? []
      return cas === undefined || of !== instance ? undefined : { token, ...this.#client.reclaim(name, cas) }
    }
    const hold = await this.#items.run(async () => await this.#client.claim(name, CLAIM_TIME), IDEMPOTENT)
    return { token: `${hold.cas}-${instance}`, ...hold }
  }

  async set (entry: StoredEntry, condition?: WriteCondition, caller?: Caller): Promise<WriteOutcome> {
    return await this.#changes.make(entry.namespace, entry.key, async (name, item, place) => {
      const present = this.#items.present(entry.namespace, entry.key, item, place)
      // Whether its value can be read matters only to who must not write over it.
      const isOpened = condition !== undefined && 'absent' in condition && present !== undefined
      const live = isOpened && await this.format.unpack(entry.namespace, entry.key, present.record, place.skew) === undefined ? undefined : present
      if (!permits(condition, live?.facts)) return 'precondition'
      const packed = await this.format.pack({ ...entry, stamp: place.stamp }, place.skew)
      const act = this.#stored(name, entry, packed)
      if (act === undefined) throw this.#tooLarge(packed)
      return { act, outcome: written(place.stamp, live !== undefined, packed) }
    }, caller)
  }

  async fill (entry: StoredEntry, claim?: ItemClaim): Promise<WriteOutcome> {
    if (claim === undefined) return 'superseded'
    const { skew } = await this.coordination.place()
    const packed = await this.format.pack(entry, skew)
    const stored = this.#stored(claim.name, entry, packed)
    if (stored === undefined) throw this.#tooLarge(packed)
    // A claim ends with its connection: there is no other try.
    if (!await this.#items.run(async () => await this.#client.store(claim.name, stored, claim))) return 'superseded'
    await this.coordination.announce(entry.namespace, entry.key)
    return written(entry.stamp, false, packed)
  }

  async replace (entry: StoredEntry, claim?: ItemClaim): Promise<WriteOutcome> {
    return await this.#changes.make(entry.namespace, entry.key, async (name, item, place) => {
      const isUnchanged = claim?.cas === item?.cas && claim?.connection === item?.connection && claim?.name.token === name.token
      const remove = { act: item === undefined ? 'leave' : 'remove', outcome: 'superseded' } as const
      if (!isUnchanged) return remove
      const packed = await this.format.pack(entry, place.skew)
      const act = this.#stored(name, entry, packed)
      // What the origin held before must not stay.
      if (act === undefined) return { ...remove, error: this.#tooLarge(packed) }
      return { act, outcome: written(entry.stamp, false, packed) }
    })
  }

  async delete (namespace: string, key: string, condition?: WriteCondition, caller?: Caller): Promise<WriteOutcome> {
    return await this.#changes.make(namespace, key, (_, item, place) => {
      const live = this.#items.present(namespace, key, item, place)
      if (!permits(condition, live?.facts)) return 'precondition'
      return { act: item === undefined ? 'leave' : 'remove', outcome: { stamp: place.stamp, existed: live !== undefined } }
    }, caller)
  }

  async expire (namespace: string, key: string, version: number, expiresAt: number, goneAt: number, caller?: Caller): Promise<WriteOutcome> {
    return await this.#changes.make(namespace, key, (name, item, place) => {
      const live = this.#items.present(namespace, key, item, place)
      if (live?.facts.version !== version) return 'precondition'
      const record = Buffer.from(live.record)
      record.writeDoubleLE(expiresAt + place.skew, EXPIRES_AT)
      record.writeDoubleLE(goneBy(goneAt, place.skew), GONE_AT)
      const act = { ...frame(name, key, record), expiry: this.#client.expiry(goneAt - this.#now()) }
      return { act, outcome: { stamp: place.stamp, existed: true } }
    }, caller)
  }

  async invalidate (namespace: string, what: Invalidation): Promise<number> {
    // What cannot be swept could never be withdrawn again.
    if (!this.#client.canDump) throw new UnsupportedOperationError(NO_DUMP)
    return await this.coordination.invalidate(namespace, what)
  }

  async inForce (): Promise<InForce[]> { return await this.coordination.inForce() }

  async withdraw (namespace: string, what: Invalidation, stamp: number): Promise<void> {
    await this.coordination.withdraw(namespace, what, stamp)
  }

  scan (namespace: string | undefined): AsyncIterable<ScannedEntry[]> { return this.#scan.scan(namespace) }

  async counted (namespace: string, entries: readonly ScannedEntry[]): Promise<ScannedEntry[]> { return await this.#scan.counted(namespace, entries) }

  async discard (namespace: string, entries: readonly Discarded[]): Promise<number> { return await this.#scan.discard(namespace, entries) }

  recordAccess (namespace: string, key: string, version: number, reads: number, at: number): void {
    this.#reads.note(namespace, key, version, reads, at)
  }

  async follow (listener: ChangeListener): Promise<void> {
    await this.coordination.follow(listener)
    this.#changes.watch()
  }

  async close (): Promise<void> {
    this.#changes.stop()
    this.#reads.stop()
    await this.coordination.close()
  }

  async #entries (namespace: string, keys: readonly string[], place: Place, caller?: Caller): Promise<(StoredEntry | undefined)[]> {
    const names = this.#items.names(place)
    const items = await this.#items.run(async () => await this.#client.getMany(
      [...keys.map((key) => names.of(namespace, key)), ...keys.map((key) => names.of(namespace, key, 'reads'))]), IDEMPOTENT, 1, caller)
    return await Promise.all(keys.map(async (key, at) => {
      const live = this.#items.live(namespace, key, items[at], place)
      const entry = live === undefined ? undefined : await this.format.unpack(namespace, key, live.record, place.skew)
      return entry === undefined ? undefined : this.#reads.applied(entry, items[keys.length + at], place)
    }))
  }

  /** Undefined when it is more than the server takes. */
  #stored (name: ItemName, { key, goneAt }: StoredEntry, { record }: PackedRecord): Stored | undefined {
    const framed = frame(name, key, record)
    return this.#client.fits(name, framed.value.length) ? { ...framed, expiry: this.#client.expiry(goneAt - this.#now()) } : undefined
  }

  #tooLarge ({ size }: PackedRecord): Error { return new ItemTooLargeError(size, this.#client.itemSize) }
}

const written = (stamp: number, existed: boolean, { storedLength }: PackedRecord): WriteOutcome =>
  ({ stamp, existed, ...storedLength === undefined ? undefined : { storedLength } })

function permits (condition: WriteCondition | undefined, present: Facts | undefined): boolean {
  if (condition === undefined) return true
  if ('absent' in condition) return present === undefined || present.version === condition.absentOr
  return present?.version === condition.version
}
