import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Now } from '../../clock.js'
import { DeadlineError, withDeadline } from '../../deadline.js'
import type { StoredEntry } from '../../entry.js'
import { BackendFullError, BackendUnavailableError, EntryTooLargeError } from '../../errors.js'
import { isOutage, type OnFault, warnOfFault } from '../../faults.js'
import { nameOf } from '../../in-flight.js'
import type { Invalidation } from '../../ledger.js'
import type { Limits } from '../../limits.js'
import { type PackedRecord, RecordFormat } from '../../record-format.js'
import { CountersByNamespace } from '../../statistics.js'
import type { MaybePromise } from '../../stores/store.js'
import type {
  ChangeListener, InForce, Outline, Page, PageQuery, ScannedEntry, SharedBackend, WriteCondition, WriteOutcome
} from '../backend.js'
import { fieldsOf, invalidationOf } from '../invalidation-fields.js'
import { SendingOrder } from '../sending-order.js'
import { Commits, type Pending } from './commits.js'
import { Disk, diskFault, isDamage, isFull, type RowChange } from './disk.js'
import type { EntryIndex, Evictions, Removed, Space } from './entry-index.js'
import { load, type Loaded } from './loading.js'
import { GatheredReads } from './reads.js'
import { rowsOf } from './removal.js'
import { cursorAt, keyIn, ofKind, rangeOf, rowAt, rowKey } from './row-keys.js'
import { isKeptApart, packAmendment, packEntry, packNumber, packValue, type ReadRow, unpackEntry, unpackValue } from './rows.js'
import { Tombstones } from './tombstones.js'

/** How long a write and a read may take, in milliseconds: a disk may be held up, where a server would answer. */
const WRITE_DEADLINE = 5000
const READ_DEADLINE = 2000
/** Bytes that may wait to be written; a disk that falls behind further takes no more. */
const MOST_WAITING = 64 * 1024 * 1024
/** Entries in a portion of a scan. */
const PAGE = 500
/** How long a pass over the index runs before it lets others have the event loop, in milliseconds. */
const SLICE = 4
/** How often uses are written, in milliseconds: the end of the process loses those since. */
const USES_INTERVAL = 1000
/** Entries whose uses are written at once. */
const USES_PORTION = 1000
/** Between two tries to get a failed disk to work again, in milliseconds. */
const HEAL_INTERVAL = 250

export interface FileOptions {
  /** Where the entries are kept: a folder for one process, made where there is none. */
  folder: string
  now: Now
  limits: Pick<Limits, 'maxItems' | 'maxMemory'>
  /** Whether a write is answered only when the device has it: then it survives a loss of power, not just the end of the process. Default false. */
  sync?: boolean
  /** Is told of damage, and of faults in work that nobody waits for. Default: a warning of the process. */
  onFault?: OnFault
  /** Default: JSON text as it is. */
  format?: RecordFormat
}

/**
 * Entries in files, for one process, over LevelDB. What was answered survives the end of the process, `kill -9` included; with
 * `sync` also that of the machine. Times are those of the wall clock, over restarts as well: a clock that was set while the
 * process was down is believed.
 *
 * An index in memory knows every entry but for its value and metadata (see `EntryIndex`), so limits and evictions are exact and a
 * miss costs nothing; changes are decided there, one after the other, and come to the disk in that order. Only what the disk has is
 * answered as done. What it then holds and the index does not know, or knows otherwise, is damaged: a miss, reported, and deleted.
 */
export class FileBackend implements SharedBackend {
  readonly name = 'file'
  readonly format: RecordFormat
  #options: Required<FileOptions>
  #disk: Disk
  #index: EntryIndex
  #inForce: Map<string, InForce>
  #stamp: number
  #evictions: Evictions
  /** Changes of one key whose value takes a while to be packed. */
  #order = new SendingOrder()
  #tombstones = new Tombstones()
  #commits: Commits
  #reads: GatheredReads
  #listener: ChangeListener | undefined
  #uses: NodeJS.Timeout
  /** Why nothing can be written; undefined when it can. */
  #fault: Error | undefined
  /** Whether it was damage that stopped the writes. */
  #isDamaged = false
  #healing: Promise<void> | undefined
  #healNotBefore = 0
  #damaged = 0
  #isClosed = false

  private constructor (options: Required<FileOptions>, disk: Disk, { index, inForce, stamp }: Loaded, evictions: Evictions) {
    this.#evictions = evictions
    this.#options = options
    this.format = options.format
    this.#disk = disk
    this.#index = index
    this.#inForce = inForce
    this.#stamp = stamp
    this.#commits = new Commits({
      write: async (changes) => { await this.#disk.write(changes) },
      deadline: WRITE_DEADLINE,
      onFailure: (error) => this.#fail(error)
    })
    this.#reads = new GatheredReads(async (keys) => await withDeadline(this.#disk.read(keys), READ_DEADLINE))
    this.#uses = setInterval(() => { this.#writeUses().catch((error: unknown) => { if (!isOutage(error)) this.#options.onFault(error) }) }, USES_INTERVAL)
    this.#uses.unref()
  }

  /** @throws FolderInUseError · FolderUnusableError */
  static async open ({ sync = false, onFault = warnOfFault, format = new RecordFormat(), ...options }: FileOptions): Promise<FileBackend> {
    const complete = { ...options, sync, onFault, format }
    const disk = await Disk.open(complete)
    try {
      const evictions = new CountersByNamespace(() => ({ evictions: 0 }))
      const loaded = await load(disk, { ...complete, evictions })
      const backend = new FileBackend(complete, disk, loaded, evictions)
      backend.#tidy(loaded)
      return backend
    } catch (error) {
      await disk.close()
      throw error
    }
  }

  /** No other process has the folder, so there is nothing to miss. */
  get isFollowing (): boolean { return this.#listener !== undefined && !this.#isClosed }

  /** Entries that were found damaged since the start. */
  get damaged (): number { return this.#damaged }

  async get (namespace: string, key: string): Promise<StoredEntry | undefined> {
    for (;;) {
      const slot = this.#find(namespace, key)
      if (slot === -1) return undefined
      const version = this.#index.columns.versions[slot] as number
      const rows = this.#commits.pending(nameOf(namespace, key)) ?? await this.#read(namespace, key, slot)
      const now = this.#find(namespace, key)
      // Written or deleted meanwhile: what was read may be of before, or of after.
      if (now === -1) return undefined
      if (this.#index.columns.versions[now] !== version) continue
      const entry = await this.#entry(namespace, key, now, rows)
      if (entry === undefined) this.#discardDamaged(namespace, key, version)
      return entry
    }
  }

  async getMany (namespace: string, keys: readonly string[]): Promise<(StoredEntry | undefined)[]> {
    // Gathered into one read of the store.
    return await Promise.all(keys.map(async (key) => await this.get(namespace, key)))
  }

  async stamp (): Promise<number> { return this.#stamp }

  async set (entry: StoredEntry, condition?: WriteCondition): Promise<WriteOutcome> { return await this.#store(entry, 'set', condition) }
  async fill (entry: StoredEntry): Promise<WriteOutcome> { return await this.#store(entry, 'fill') }
  async replace (entry: StoredEntry): Promise<WriteOutcome> { return await this.#store(entry, 'replace') }

  async delete (namespace: string, key: string, condition?: WriteCondition): Promise<WriteOutcome> {
    return await this.#inOrder(namespace, key, undefined, () => {
      const slot = this.#find(namespace, key)
      if (!this.#permits(slot, condition)) return 'precondition'
      return { stamp: this.#bury(namespace, key, slot), existed: slot !== -1 }
    })
  }

  async expire (namespace: string, key: string, version: number, expiresAt: number, goneAt: number): Promise<WriteOutcome> {
    return await this.#inOrder(namespace, key, undefined, () => {
      const slot = this.#find(namespace, key)
      if (slot === -1 || this.#index.columns.versions[slot] !== version) return 'precondition'
      this.#index.expire(slot, expiresAt, goneAt)
      this.#add([this.#amendment(slot)])
      return { stamp: ++this.#stamp, existed: true }
    })
  }

  async invalidate (namespace: string, what: Invalidation): Promise<number> {
    if (this.#isOut) await this.#restore()
    const stamp = ++this.#stamp
    const changes = fieldsOf(namespace, what).map((field): RowChange => {
      const inForce = invalidationOf(field, stamp)
      if (inForce !== undefined) this.#inForce.set(field, inForce)
      const key = Buffer.from(`i${field}`)
      return { type: 'put', key, value: packNumber(key, stamp) }
    })
    this.#add(changes)
    await this.#written()
    return stamp
  }

  async inForce (): Promise<InForce[]> { return [...this.#inForce.values()] }

  async withdraw (namespace: string, what: Invalidation, stamp: number): Promise<void> {
    if (this.#isOut) await this.#restore()
    const fields = fieldsOf(namespace, what).filter((field) => this.#inForce.get(field)?.stamp === stamp)
    for (const field of fields) this.#inForce.delete(field)
    this.#add(fields.map((field) => ({ type: 'del', key: Buffer.from(`i${field}`) })))
    await this.#written()
  }

  async * scan (namespace: string | undefined): AsyncIterable<ScannedEntry[]> {
    const spaces = namespace === undefined ? [...this.#index.spaces()] : [this.#index.space(namespace)]
    for (const space of spaces) if (space !== undefined) yield * this.#scanSpace(space)
  }

  async * outline (namespace: string | undefined): AsyncIterable<Outline[]> {
    const spaces = namespace === undefined ? [...this.#index.spaces()] : [this.#index.space(namespace)]
    let until = performance.now() + SLICE
    let outlines: Outline[] = []
    for (const space of spaces) {
      for (const [key, slot] of space?.index ?? []) {
        outlines.push(this.#index.outline(space!.name, key, slot))
        if (outlines.length < PAGE) continue
        yield outlines
        outlines = []
        if (performance.now() < until) continue
        await nextTurn()
        until = performance.now() + SLICE
      }
    }
    yield outlines
  }

  async page (namespace: string, { matches, isVisible, limit, offset, cursor }: PageQuery): Promise<Page> {
    const isMeant = (entry: Outline): boolean => entry.goneAt > this.#options.now() && matches(entry.key) && isVisible(entry)
    let total = 0
    for await (const outlines of this.outline(namespace)) for (const outline of outlines) if (isMeant(outline)) total++
    const keys: string[] = []
    let passed = 0
    for await (const key of this.#keysAfter(namespace, cursor)) {
      const slot = this.#find(namespace, key)
      if (slot === -1 || !isMeant(this.#index.outline(namespace, key, slot)) || passed++ < offset) continue
      keys.push(key)
      if (keys.length > limit) break
    }
    const hasMore = keys.length > limit
    if (hasMore) keys.pop()
    const entries = await this.#scanned(namespace, keys)
    return { total, entries: entries.filter(isVisible), cursor: hasMore ? cursorAt(keys.at(-1) as string) : undefined }
  }

  async discard (namespace: string, entries: readonly Pick<ScannedEntry, 'key' | 'version'>[]): Promise<number> {
    if (this.#isOut) await this.#restore()
    let count = 0
    for (const { key, version } of entries) {
      const slot = this.#find(namespace, key)
      if (slot === -1 || this.#index.columns.versions[slot] !== version) continue
      this.#drop([this.#index.remove(slot)])
      count++
    }
    await this.#written()
    return count
  }

  recordAccess (namespace: string, key: string, version: number, reads: number, at: number): void {
    const slot = this.#find(namespace, key)
    if (slot !== -1 && this.#index.columns.versions[slot] === version) this.#index.touch(slot, reads, at)
  }

  evictions (namespace?: string): number { return this.#evictions.read(namespace).evictions }

  configure ({ maxItems, maxMemory }: Limits): void {
    this.#options.limits = { maxItems, maxMemory }
    this.#evict(this.#index.configure({ maxItems, maxMemory }))
  }

  async sweep (): Promise<void> {
    const { columns } = this.#index
    let until = performance.now() + SLICE
    for (let slot = 0; slot < columns.high; slot++) {
      if (this.#isOut || columns !== this.#index.columns) return
      if (columns.spaces[slot] !== undefined && this.#index.isGone(slot)) this.#drop([this.#index.remove(slot)])
      if (performance.now() < until) continue
      await nextTurn()
      until = performance.now() + SLICE
    }
    await this.#written()
  }

  async follow (listener: ChangeListener): Promise<void> {
    this.#listener = listener
    listener.onResync(await this.inForce(), this.#stamp)
  }

  /** Writes what is still to be written, and closes the folder. */
  async close (): Promise<void> {
    if (this.#isClosed) return
    clearInterval(this.#uses)
    try {
      await this.#healing?.catch(() => {})
      await this.#writeUses()
      await this.#commits.written()
    } catch (error) {
      this.#options.onFault(error)
    } finally {
      this.#isClosed = true
      await this.#disk.close()
    }
  }

  /** @throws BackendUnavailableError · BackendFullError when nothing can be written */
  async ping (): Promise<void> { if (this.#isOut) await this.#restore() }

  async #store (entry: StoredEntry, mode: WriteMode, condition?: WriteCondition): Promise<WriteOutcome> {
    return await this.#inOrder(entry.namespace, entry.key, this.format.pack(entry, 0), (packed) => this.#write(entry, packed, mode, condition))
  }

  /** Decides on a change of a key in the order in which changes were asked for, and waits until the disk has it. */
  async #inOrder<Prepared> (namespace: string, key: string, prepared: MaybePromise<Prepared>, change: (prepared: Prepared) => WriteOutcome): Promise<WriteOutcome> {
    return await this.#order.take(nameOf(namespace, key), prepared, async (ready) => {
      if (this.#isOut) await this.#restore()
      try {
        return change(ready)
      } finally {
        await this.#written()
      }
    })
  }

  /** Decides, and puts what follows in the order of writes. */
  #write (entry: StoredEntry, { record, headLength, size, storedLength }: PackedRecord, mode: WriteMode, condition: WriteCondition | undefined): WriteOutcome {
    const { namespace, key } = entry
    const valueLength = record.length - headLength
    const slot = this.#find(namespace, key)
    const { maxMemory } = this.#index.limits
    if (size > maxMemory) {
      // What the origin held before must not stay either.
      if (mode === 'replace') this.#bury(namespace, key, slot)
      throw new EntryTooLargeError(size, maxMemory)
    }
    if (!this.#permits(slot, condition)) return 'precondition'
    if (mode !== 'set' && this.#lastChange(namespace, key, slot) > entry.stamp) {
      if (mode === 'replace') this.#bury(namespace, key, slot)
      return 'superseded'
    }
    const rowOf = rowKey('e', namespace, key)
    const stamp = ++this.#stamp
    const apart = isKeptApart(valueLength)
    const wasApart = slot !== -1 && this.#index.parts(slot).apart
    // A value that was loaded was true when the load began; what is written or updated is a change of now.
    const row = {
      ...entry,
      stamp: mode === 'set' ? stamp : entry.stamp,
      order: mode === 'fill' ? entry.stamp : stamp,
      used: this.#index.nextUse(),
      reads: entry.accessCount,
      uses: this.#index.usesWith(slot)
    }
    this.#evict(this.#index.put({ ...row, size, apart }))
    const packed = packEntry(rowOf, row, record, headLength)
    const changes: RowChange[] = [{ type: 'put', key: rowOf, value: packed }]
    const valueRow = ofKind('v', rowOf)
    const value = apart ? packValue(valueRow, entry.version, record.subarray(headLength)) : undefined
    if (value !== undefined) changes.push({ type: 'put', key: valueRow, value })
    else if (wasApart) changes.push({ type: 'del', key: valueRow })
    this.#add(changes)
    this.#commits.keep(nameOf(namespace, key), { entry: packed, value })
    return { stamp, existed: slot !== -1, ...storedLength === undefined ? undefined : { storedLength } }
  }

  /** Where the entry is, -1 when it is not there; one whose time is over goes. */
  #find (namespace: string, key: string): number {
    const slot = this.#index.find(namespace, key)
    if (slot === -1 || !this.#index.isGone(slot)) return slot
    if (!this.#isOut) this.#drop([this.#index.remove(slot)])
    return -1
  }

  #permits (slot: number, condition: WriteCondition | undefined): boolean {
    if (condition === undefined) return true
    const version = slot === -1 ? undefined : this.#index.columns.versions[slot]
    return 'absent' in condition ? version === undefined || version === condition.absentOr : version === condition.version
  }

  /** The stamp of the last write or deletion of the key. */
  #lastChange (namespace: string, key: string, slot: number): number {
    return slot === -1 ? this.#tombstones.newest(nameOf(namespace, key)) : this.#index.columns.orders[slot] as number
  }

  #bury (namespace: string, key: string, slot: number): number {
    const stamp = ++this.#stamp
    this.#tombstones.note(nameOf(namespace, key), stamp)
    if (slot !== -1) this.#drop([this.#index.remove(slot)])
    return stamp
  }

  /** What was evicted leaves the memory in front of the backend as well. */
  #evict (removed: Removed[]): void {
    this.#drop(removed)
    for (const { namespace, key } of removed) this.#listener?.onChange({ kind: 'key', namespace, key, stamp: ++this.#stamp })
  }

  #drop (removed: readonly Removed[]): void { for (const each of removed) this.#add(rowsOf(each)) }

  #add (changes: RowChange[]): void {
    // What is decided while nothing can be written is forgotten with the index that decided it.
    if (this.#fault !== undefined) return
    let bytes = 0
    for (const change of changes) bytes += change.key.length + (change.type === 'put' ? change.value.length : 0)
    this.#commits.add(changes, bytes)
  }

  #amendment (slot: number): RowChange {
    const { columns } = this.#index
    const key = rowKey('a', (columns.spaces[slot] as Space).name, columns.keys[slot] as string)
    const value = packAmendment(key, this.#index.amendment(slot))
    this.#index.amended(slot)
    return { type: 'put', key, value }
  }

  async #written (): Promise<void> {
    try {
      await this.#commits.written()
    } catch (error) {
      if (error instanceof DeadlineError) throw diskFault(this.#options.folder, error)
      throw error
    }
  }

  async #read (namespace: string, key: string, slot: number): Promise<Partial<Pending>> {
    const entryKey = rowKey('e', namespace, key)
    const keys = this.#index.parts(slot).apart ? [entryKey, ofKind('v', entryKey)] : [entryKey]
    const found = await this.#fromDisk(async () => await this.#reads.read(keys))
    const [entry, value] = found.map((row) => row === 'damaged' ? undefined : row)
    return { ...entry === undefined ? {} : { entry }, value }
  }

  async #fromDisk<T> (read: (disk: Disk) => Promise<T>): Promise<T> {
    if (this.#healing !== undefined) await this.#healing.catch(() => {})
    if (this.#isClosed) throw new BackendUnavailableError(CLOSED)
    try {
      return await read(this.#disk)
    } catch (error) {
      throw diskFault(this.#options.folder, error)
    }
  }

  /** The rows hold what is written once, the index what changes. Undefined when they are damaged, or of another version. */
  async #entry (namespace: string, key: string, slot: number, rows: Partial<Pending>): Promise<StoredEntry | undefined> {
    const row = this.#row(namespace, key, slot, rows.entry)
    const current = this.#current(slot)
    const value = row?.value ?? (row === undefined || rows.value === undefined ? undefined : unpackValue(rowKey('v', namespace, key), row.version, rows.value))
    if (row === undefined || value === undefined) return undefined
    const unpacked = this.format.unpack(namespace, key, row.head, 0, value)
    const entry = unpacked instanceof Promise ? await unpacked : unpacked
    return entry === undefined ? undefined : { ...entry, ...current }
  }

  #row (namespace: string, key: string, slot: number, bytes: Buffer | undefined): ReadRow | undefined {
    const row = bytes === undefined ? undefined : unpackEntry(rowKey('e', namespace, key), bytes)
    return row?.version === this.#index.columns.versions[slot] ? row : undefined
  }

  #current (slot: number): Pick<StoredEntry, 'version' | 'stamp' | 'expiresAt' | 'goneAt' | 'accessedAt' | 'accessCount'> {
    const { versions, stamps, expiresAt, goneAt, accessedAt, reads } = this.#index.columns
    return {
      version: versions[slot] as number,
      stamp: stamps[slot] as number,
      expiresAt: expiresAt[slot] as number,
      goneAt: goneAt[slot] as number,
      accessedAt: accessedAt[slot] as number,
      accessCount: reads[slot] as number
    }
  }

  /** While the disk does not work, what it holds is not what the index knows, which is no damage. */
  #discardDamaged (namespace: string, key: string, version: number): void {
    const slot = this.#index.find(namespace, key)
    if (this.#isOut || slot === -1 || this.#index.columns.versions[slot] !== version) return
    this.#damaged++
    this.#drop([this.#index.remove(slot)])
    this.#options.onFault(new Error(`An entry of the cache in ${this.#options.folder} is damaged, and was deleted: ${JSON.stringify(key)} in ${namespace}.`))
  }

  /** The keys of a namespace in the order of the store, from behind the cursor on. */
  async * #keysAfter (namespace: string, cursor: string | undefined): AsyncGenerator<string> {
    const range = rangeOf('e', namespace)
    let after: Buffer | undefined = cursor === undefined ? undefined : rowAt(namespace, cursor)
    for (;;) {
      const rows = await this.#fromDisk(async (disk) => await disk.keys(range, after, PAGE))
      for (const row of rows) yield keyIn(row)
      if (rows.length < PAGE) return
      after = rows.at(-1)
    }
  }

  async * #scanSpace ({ name, index }: Space): AsyncGenerator<ScannedEntry[]> {
    let keys: string[] = []
    // Goes on with what is added meanwhile; what is overwritten keeps its place.
    for (const key of index.keys()) {
      keys.push(key)
      if (keys.length < PAGE) continue
      yield await this.#scanned(name, keys)
      keys = []
    }
    if (keys.length > 0) yield await this.#scanned(name, keys)
  }

  async #scanned (namespace: string, keys: string[]): Promise<ScannedEntry[]> {
    const found = await Promise.all(keys.map(async (key): Promise<ScannedEntry | undefined> => {
      for (;;) {
        const slot = this.#find(namespace, key)
        if (slot === -1) return undefined
        const version = this.#index.columns.versions[slot] as number
        const bytes = this.#commits.pending(nameOf(namespace, key))?.entry ?? await this.#readEntry(namespace, key)
        const now = this.#find(namespace, key)
        if (now === -1) return undefined
        if (this.#index.columns.versions[now] !== version) continue
        const row = this.#row(namespace, key, now, bytes)
        const facts = row === undefined ? undefined : this.format.facts(namespace, key, row.head, 0)
        if (row !== undefined && facts !== undefined && facts.isUnreadable === undefined) return { ...facts, ...this.#current(now), valueLength: row.valueLength }
        this.#discardDamaged(namespace, key, version)
        return undefined
      }
    }))
    return found.filter((entry) => entry !== undefined)
  }

  async #readEntry (namespace: string, key: string): Promise<Buffer | undefined> {
    const [entry] = await this.#fromDisk(async () => await this.#reads.read([rowKey('e', namespace, key)]))
    return entry === 'damaged' ? undefined : entry
  }

  async #writeUses (): Promise<void> {
    while (!this.#isOut) {
      const slots = this.#index.dirty(USES_PORTION)
      if (slots.length > 0) this.#add(slots.map((slot) => this.#amendment(slot)))
      else if (!this.#index.hasDirty) return
      await this.#written()
    }
  }

  /** Whether nothing can be written now. */
  get #isOut (): boolean { return this.#fault !== undefined || this.#isClosed || this.#commits.isLate || this.#commits.waiting > MOST_WAITING }

  /** A write failed. What follows it would be decided on what did not happen: the index is read anew, and until the disk works again nothing is written. */
  #fail (error: unknown): Error {
    const told = isFull(error) ? new BackendFullError(this.name) : diskFault(this.#options.folder, error)
    this.#fault = told
    this.#isDamaged ||= isDamage(error)
    this.#healNotBefore = Date.now() + HEAL_INTERVAL
    this.#healing ??= this.#reload().then(() => {}, (error: unknown) => { this.#options.onFault(error) }).finally(() => { this.#healing = undefined })
    return told
  }

  /** Gets a disk that failed to work again, at most so often. @throws what is wrong, when it does not */
  async #restore (): Promise<void> {
    if (this.#isClosed) throw new BackendUnavailableError(CLOSED)
    if (this.#fault === undefined) throw new BackendUnavailableError(`The cache's folder ${this.#options.folder} is too slow for what is written to it: try again in a moment.`)
    if (this.#healing === undefined && Date.now() >= this.#healNotBefore) {
      this.#healing = this.#heal().finally(() => {
        this.#healNotBefore = Date.now() + HEAL_INTERVAL
        this.#healing = undefined
      })
    }
    await this.#healing
    if (this.#fault !== undefined) throw this.#fault
  }

  /** LevelDB does not write on after a failure: the end of its log is unknown. Opened anew, it reads the log as far as it is sound. */
  async #heal (): Promise<void> {
    if (!this.#disk.hasRoom()) return
    await this.#disk.close()
    try {
      // A damaged table stops LevelDB from writing as soon as it comes to rewrite it.
      this.#disk = await Disk.open(this.#options, this.#isDamaged)
      const loaded = await this.#reload()
      this.#fault = undefined
      this.#isDamaged = false
      this.#tidy(loaded)
    } catch (error) {
      this.#fault = diskFault(this.#options.folder, error)
    }
  }

  async #reload (): Promise<Loaded> {
    const loaded = await load(this.#disk, { ...this.#options, evictions: this.#evictions })
    this.#index = loaded.index
    this.#inForce = loaded.inForce
    this.#stamp = Math.max(this.#stamp, loaded.stamp)
    this.#listener?.onResync(await this.inForce(), this.#stamp)
    return loaded
  }

  #tidy ({ waste, damaged }: Loaded): void {
    this.#damaged += damaged
    if (damaged > 0) this.#options.onFault(new Error(`${damaged} entries of the cache in ${this.#options.folder} are damaged, and were deleted.`))
    if (waste.length > 0) this.#add(waste)
  }
}

type WriteMode = 'set' | 'fill' | 'replace'

const CLOSED = 'The cache\'s folder is closed: the service is stopping.'
