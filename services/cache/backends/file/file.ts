import { setImmediate as nextTurn } from 'node:timers/promises'
import type { BreakerOptions, BreakerState, BreakerSwitch } from '../../breaker.js'
import type { Now } from '../../clock.js'
import type { StoredEntry } from '../../entry.js'
import { isOutage, type OnFault, warnOfFault } from '../../faults.js'
import { nameOf } from '../../in-flight.js'
import type { Invalidation } from '../../ledger.js'
import { checkQuotas } from '../../quotas.js'
import { type PackedRecord, RecordFormat } from '../../record-format.js'
import { CountersByNamespace } from '../../statistics.js'
import type { MaybePromise } from '../../stores/store.js'
import type {
  ChangeListener, Drawn, InForce, Outline, Page, PageQuery, ScannedEntry, SharedBackend, Usage, WriteCondition, WriteOutcome
} from '../backend.js'
import { fieldsOf, invalidationOf } from '../invalidation-fields.js'
import { SendingOrder } from '../sending-order.js'
import { Contents } from './contents.js'
import type { RowChange } from './disk.js'
import type { IndexLimits, Removals } from './entry-index.js'
import { EntryReader } from './entry-reader.js'
import { Listing } from './listing.js'
import { invalidationKey, ofKind, rowKey } from './row-keys.js'
import { isKeptApart, packEntry, packNumber, packValue } from './rows.js'
import { Tombstones } from './tombstones.js'

/** How long a sweep runs before it lets others have the event loop, in milliseconds. */
const SLICE = 4
/** How often uses are written, in milliseconds: the end of the process loses those since. */
const USES_INTERVAL = 1000

export interface FileOptions {
  /** Where the entries are kept: a folder for one process, made where there is none. */
  folder: string
  now: Now
  limits: IndexLimits
  /** Whether a write is answered only when the device has it: then it survives a loss of power, not just the end of the process. Default false. */
  sync?: boolean
  /** Is told of damage, and of faults in work that nobody waits for. Default: a warning of the process. */
  onFault?: OnFault
  /** Default: JSON text as it is. */
  format?: RecordFormat
  /** For how long a disk that fails is left alone, and how many looks in a row have to succeed then: see `BreakerOptions`. */
  breaker?: Pick<BreakerOptions, 'leaveAlone' | 'trials'>
}

/**
 * Entries in files, for one process, over LevelDB. What was answered survives the end of the process, `kill -9` included; with
 * `sync` also that of the machine. Times are those of the wall clock, over restarts as well: a clock that was set while the
 * process was down is believed.
 *
 * An index in memory knows every entry but for its value and metadata (see `EntryIndex`), so limits and evictions are exact and a
 * miss costs nothing; changes are decided there, one after the other, and come to the disk in that order. Only what the disk has is
 * answered as done.
 */
export class FileBackend implements SharedBackend {
  readonly name = 'file'
  readonly format: RecordFormat
  #contents: Contents
  #reader: EntryReader
  #listing: Listing
  #removals: Removals
  /** Changes of one key whose value takes a while to be packed. */
  #order = new SendingOrder()
  #tombstones = new Tombstones()
  #uses: NodeJS.Timeout

  private constructor ({ now, onFault, format }: Required<Omit<FileOptions, 'breaker'>>, contents: Contents, removals: Removals) {
    this.format = format
    this.#contents = contents
    this.#removals = removals
    this.#reader = new EntryReader(contents, format)
    this.#listing = new Listing(contents, this.#reader, now)
    // While the disk does not work, what was read is written later.
    this.#uses = setInterval(() => { contents.lookAgain().then(async () => { await contents.writeUses() }).catch((error: unknown) => { if (!isOutage(error)) onFault(error) }) }, USES_INTERVAL)
    this.#uses.unref()
  }

  /** @throws FolderInUseError · FolderUnusableError */
  static async open ({ sync = false, onFault = warnOfFault, format = new RecordFormat(), ...options }: FileOptions): Promise<FileBackend> {
    const complete = { ...options, sync, onFault, format }
    const removals = new CountersByNamespace(() => ({ evictions: 0, damaged: 0 }))
    return new FileBackend(complete, await Contents.open({ ...complete, removals }), removals)
  }

  /** `closed` is the good state; `open` leaves the disk alone for a second. */
  get breaker (): BreakerState { return this.#contents.switch.state }
  /** For operators. */
  get switch (): BreakerSwitch { return this.#contents.switch }

  /** No other process has the folder, so there is nothing to miss. */
  get isFollowing (): boolean { return this.#contents.listener !== undefined && !this.#contents.isClosed }

  async get (namespace: string, key: string): Promise<StoredEntry | undefined> {
    if (this.breaker !== 'closed') await this.#contents.admit('read')
    return await this.#reader.entry(namespace, key)
  }

  async getMany (namespace: string, keys: readonly string[]): Promise<(StoredEntry | undefined)[]> {
    if (this.breaker !== 'closed') await this.#contents.admit('read')
    // Gathered into one read of the store.
    return await Promise.all(keys.map(async (key) => await this.#reader.entry(namespace, key)))
  }

  async stamp (): Promise<number> { return this.#contents.stamp }

  async set (entry: StoredEntry, condition?: WriteCondition): Promise<WriteOutcome> { return await this.#store(entry, 'set', condition) }
  async fill (entry: StoredEntry): Promise<WriteOutcome> { return await this.#store(entry, 'fill') }
  async replace (entry: StoredEntry): Promise<WriteOutcome> { return await this.#store(entry, 'replace') }

  async delete (namespace: string, key: string, condition?: WriteCondition): Promise<WriteOutcome> {
    return await this.#inOrder(namespace, key, undefined, () => {
      const slot = this.#contents.find(namespace, key)
      if (!this.#permits(slot, condition)) return 'precondition'
      return { stamp: this.#bury(namespace, key, slot), existed: slot !== -1 }
    })
  }

  async expire (namespace: string, key: string, version: number, expiresAt: number, goneAt: number): Promise<WriteOutcome> {
    return await this.#inOrder(namespace, key, undefined, () => {
      const { index } = this.#contents
      const slot = this.#contents.find(namespace, key)
      if (slot === -1 || index.columns.versions[slot] !== version) return 'precondition'
      index.expire(slot, expiresAt, goneAt)
      this.#contents.amend([slot])
      return { stamp: this.#contents.nextStamp(), existed: true }
    })
  }

  async invalidate (namespace: string, what: Invalidation): Promise<number> {
    await this.#contents.restore()
    const stamp = this.#contents.nextStamp()
    this.#contents.add(fieldsOf(namespace, what).map((field): RowChange => {
      const inForce = invalidationOf(field, stamp)
      if (inForce !== undefined) this.#contents.inForce.set(field, inForce)
      const key = invalidationKey(field)
      return { type: 'put', key, value: packNumber(key, stamp) }
    }))
    await this.#contents.written()
    return stamp
  }

  async inForce (): Promise<InForce[]> { return [...this.#contents.inForce.values()] }

  async withdraw (namespace: string, what: Invalidation, stamp: number): Promise<void> {
    await this.#contents.restore()
    const { inForce } = this.#contents
    const fields = fieldsOf(namespace, what).filter((field) => inForce.get(field)?.stamp === stamp)
    for (const field of fields) inForce.delete(field)
    this.#contents.add(fields.map((field) => ({ type: 'del', key: invalidationKey(field) })))
    await this.#contents.written()
  }

  async * scan (namespace: string | undefined): AsyncIterable<ScannedEntry[]> {
    await this.#contents.admit('read')
    yield * this.#listing.scan(namespace)
  }

  async * outline (namespace: string | undefined): AsyncIterable<Outline[]> {
    await this.#contents.admit('read')
    yield * this.#listing.outline(namespace)
  }

  async sample (namespace: string | undefined, most: number): Promise<Drawn> {
    await this.#contents.admit('read')
    return await this.#listing.sample(namespace, most)
  }

  async page (namespace: string, query: PageQuery): Promise<Page> {
    await this.#contents.admit('read')
    return await this.#listing.page(namespace, query)
  }

  async discard (namespace: string, entries: readonly Pick<ScannedEntry, 'key' | 'version'>[]): Promise<number> {
    await this.#contents.restore()
    let count = 0
    for (const { key, version } of entries) {
      const { index } = this.#contents
      const slot = this.#contents.find(namespace, key)
      if (slot === -1 || index.columns.versions[slot] !== version) continue
      this.#contents.drop([index.remove(slot)])
      count++
    }
    await this.#contents.written()
    return count
  }

  recordAccess (namespace: string, key: string, version: number, reads: number, at: number): void {
    const { index } = this.#contents
    const slot = this.#contents.find(namespace, key)
    if (slot !== -1 && index.columns.versions[slot] === version) index.touch(slot, reads, at)
  }

  async standing (): Promise<Usage> {
    const { items, bytes } = this.#contents.index
    return { items, bytes }
  }

  evictions (namespace?: string): number { return this.#removals.read(namespace).evictions }
  damaged (namespace?: string): number { return this.#removals.read(namespace).damaged }

  /**
   * Takes effect at once: whoever has to go is gone when this returns.
   * @throws UnsupportedOperationError for quotas that are more than there is; nothing changes then
   */
  configure ({ maxItems, maxMemory, quotas }: IndexLimits): void {
    checkQuotas({ maxItems, maxMemory, ...quotas === undefined ? {} : { quotas } })
    this.#contents.configure({ maxItems, maxMemory, ...quotas === undefined ? {} : { quotas } })
  }

  async settled (): Promise<void> { await this.#contents.written() }

  async sweep (): Promise<void> {
    const { columns } = this.#contents.index
    let until = performance.now() + SLICE
    for (let slot = 0; slot < columns.high; slot++) {
      const { index } = this.#contents
      if (this.#contents.isOut || columns !== index.columns) return
      if (columns.spaces[slot] !== undefined && index.isGone(slot)) this.#contents.drop([index.remove(slot)])
      if (performance.now() < until) continue
      await nextTurn()
      until = performance.now() + SLICE
    }
    await this.#contents.written()
  }

  async follow (listener: ChangeListener): Promise<void> {
    this.#contents.listener = listener
    listener.onResync(await this.inForce(), this.#contents.stamp)
  }

  /** Writes what is still to be written, and closes the folder. */
  async close (): Promise<void> {
    clearInterval(this.#uses)
    await this.#contents.close()
  }

  /** Asks also while the disk is left alone. @throws BackendUnavailableError · BackendFullError when nothing can be written */
  async ping (): Promise<void> { await this.#contents.restoreDisk() }

  async #store (entry: StoredEntry, mode: WriteMode, condition?: WriteCondition): Promise<WriteOutcome> {
    return await this.#inOrder(entry.namespace, entry.key, this.format.pack(entry, 0), (packed) => this.#write(entry, packed, mode, condition))
  }

  /** Decides on a change of a key in the order in which changes were asked for, and waits until the disk has it. */
  async #inOrder<Prepared> (namespace: string, key: string, prepared: MaybePromise<Prepared>, change: (prepared: Prepared) => WriteOutcome): Promise<WriteOutcome> {
    return await this.#order.take(nameOf(namespace, key), prepared, async (ready) => {
      if (this.#contents.isOut) await this.#contents.restore()
      try {
        return change(ready)
      } finally {
        await this.#contents.written()
      }
    })
  }

  /** Decides, and puts what follows in the order of writes. */
  #write (entry: StoredEntry, { record, headLength, size, storedLength }: PackedRecord, mode: WriteMode, condition: WriteCondition | undefined): WriteOutcome {
    const { namespace, key } = entry
    const contents = this.#contents
    const { index } = contents
    const valueLength = record.length - headLength
    const slot = contents.find(namespace, key)
    const refusal = index.refusal(namespace, size)
    if (refusal !== undefined) {
      // What the origin held before must not stay either.
      if (mode === 'replace') this.#bury(namespace, key, slot)
      throw refusal
    }
    if (!this.#permits(slot, condition)) return 'precondition'
    if (mode !== 'set' && this.#lastChange(namespace, key, slot) > entry.stamp) {
      if (mode === 'replace') this.#bury(namespace, key, slot)
      return 'superseded'
    }
    const rowOf = rowKey('e', namespace, key)
    const stamp = contents.nextStamp()
    const apart = isKeptApart(valueLength)
    const wasApart = slot !== -1 && index.parts(slot).apart
    // A value that was loaded was true when the load began; what is written or updated is a change of now.
    const row = {
      ...entry,
      stamp: mode === 'set' ? stamp : entry.stamp,
      order: mode === 'fill' ? entry.stamp : stamp,
      used: index.nextUse(),
      reads: entry.accessCount,
      uses: index.usesWith(slot)
    }
    contents.evict(index.put({ ...row, size, apart }))
    const packed = packEntry(rowOf, row, record, headLength)
    const changes: RowChange[] = [{ type: 'put', key: rowOf, value: packed }]
    const valueRow = ofKind('v', rowOf)
    const value = apart ? packValue(valueRow, entry.version, record.subarray(headLength)) : undefined
    if (value !== undefined) changes.push({ type: 'put', key: valueRow, value })
    else if (wasApart) changes.push({ type: 'del', key: valueRow })
    contents.add(changes)
    contents.keep(namespace, key, { entry: packed, value })
    return { stamp, existed: slot !== -1, ...storedLength === undefined ? undefined : { storedLength } }
  }

  #permits (slot: number, condition: WriteCondition | undefined): boolean {
    if (condition === undefined) return true
    const version = slot === -1 ? undefined : this.#contents.index.columns.versions[slot]
    return 'absent' in condition ? version === undefined || version === condition.absentOr : version === condition.version
  }

  /** The stamp of the last write or deletion of the key. */
  #lastChange (namespace: string, key: string, slot: number): number {
    return slot === -1 ? this.#tombstones.newest(nameOf(namespace, key)) : this.#contents.index.columns.orders[slot] as number
  }

  #bury (namespace: string, key: string, slot: number): number {
    const stamp = this.#contents.nextStamp()
    this.#tombstones.note(nameOf(namespace, key), stamp)
    if (slot !== -1) this.#contents.drop([this.#contents.index.remove(slot)])
    return stamp
  }
}

type WriteMode = 'set' | 'fill' | 'replace'
