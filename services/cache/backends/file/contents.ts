import { Breaker, type BreakerOptions, type BreakerSwitch, isRefusal } from '../../breaker.js'
import type { Now } from '../../clock.js'
import { DeadlineError, withDeadline } from '../../deadline.js'
import { BackendFullError, BackendUnavailableError } from '../../errors.js'
import type { OnFault } from '../../faults.js'
import { nameOf } from '../../in-flight.js'
import type { RecordFormat } from '../../record-format.js'
import type { ChangeListener } from '../backend.js'
import { Commits, type Pending } from './commits.js'
import { Disk, diskFault, type DiskOptions, type RowChange } from './disk.js'
import type { EntryIndex, IndexLimits, Removals, Removed, Space } from './entry-index.js'
import { isDamage, isFull } from './level-errors.js'
import { load, type Loaded } from './loading.js'
import { rowsOf } from './removal.js'
import { concernedBy, namespaceOf, rowKey } from './row-keys.js'
import { packAmendment } from './rows.js'
import type { Invalidations, Tallies } from './tallies.js'

/** How long a write and a read may take, in milliseconds: a disk may be held up, where a server would answer. */
const WRITE_DEADLINE = 5000
const READ_DEADLINE = 2000
/** Bytes that may wait to be written; a disk that falls behind further takes no more. */
const MOST_WAITING = 64 * 1024 * 1024
/** Entries whose uses are written at once. */
const USES_PORTION = 1000
/** Between two tries to get a failed disk to work again, in milliseconds. */
const HEAL_INTERVAL = 250
/** A row that there never is: to see whether the disk reads and writes. */
const PROBE = Buffer.from('?')
const CLOSED = 'The cache\'s folder is closed: the service is stopping.'

export interface ContentsOptions {
  folder: string
  now: Now
  limits: IndexLimits
  sync: boolean
  onFault: OnFault
  format: RecordFormat
  /** What left, and what was damaged. */
  removals: Removals
  /** When the disk is left alone, and for how long: see there. */
  breaker?: Pick<BreakerOptions, 'leaveAlone' | 'trials'> | undefined
}

/**
 * What is in the folder: an index in memory that decides, and the disk that follows. A write that fails takes back what was decided
 * since: the index is read anew, and nothing is written until the disk works again, which whoever writes finds out. A disk that fails again and again, or hangs, is
 * left alone by a breaker: nobody waits for it then. What is full, or damaged in places, is none that fails.
 */
export class Contents {
  listener: ChangeListener | undefined
  #options: ContentsOptions
  #disk: Disk
  #index: EntryIndex
  #inForce: Invalidations
  #tallies: Tallies
  #stamp: number
  #commits: Commits
  /** Why nothing can be written; undefined when it can. */
  #fault: Error | undefined
  /** Whether it was damage that stopped the writes. */
  #isDamaged = false
  /** Never rejects: what is wrong then is in `#fault`. */
  #healing: Promise<void> | undefined
  #healNotBefore = 0
  #isClosed = false
  readonly #breaker: Breaker

  private constructor (options: ContentsOptions, disk: Disk, loaded: Loaded) {
    this.#options = options
    this.#disk = disk
    this.#index = loaded.index
    this.#inForce = loaded.inForce
    this.#tallies = loaded.tallies
    this.#stamp = loaded.stamp
    this.#breaker = new Breaker({ isOutage: (error) => !(error instanceof BackendFullError), ...options.breaker })
    this.#commits = new Commits({
      // All that was decided so far is in these changes, or was written before.
      write: async (changes) => {
        await this.#disk.write([...changes, ...this.#tallies.changes()])
        this.#breaker.succeeded(0)
      },
      deadline: WRITE_DEADLINE,
      onFailure: (error) => this.#fail(error)
    })
    this.#tidy(loaded)
  }

  /** @throws FolderInUseError · FolderUnusableError */
  static async open (options: ContentsOptions): Promise<Contents> {
    const disk = await Disk.open(diskOptions(options))
    try {
      return new Contents(options, disk, await load(disk, options))
    } catch (error) {
      await disk.close()
      throw error
    }
  }

  /** Another one after a write that failed. */
  get index (): EntryIndex { return this.#index }
  /** The invalidations, by the field that each is kept under. */
  get inForce (): Invalidations { return this.#inForce }
  get stamp (): number { return this.#stamp }
  get isClosed (): boolean { return this.#isClosed }

  /** For operators. */
  get switch (): BreakerSwitch { return this.#breaker }

  /** Whether nothing can be written now. */
  get isOut (): boolean { return this.#breaker.state !== 'closed' || this.#isStuck }

  get #isStuck (): boolean { return this.#fault !== undefined || this.#isClosed || this.#commits.isLate || this.#commits.waiting > MOST_WAITING }

  nextStamp (): number { return ++this.#stamp }

  /** Where the entry is, -1 when it is not there; one whose time is over goes. */
  find (namespace: string, key: string): number {
    const slot = this.#index.find(namespace, key)
    if (slot === -1 || !this.#index.isGone(slot)) return slot
    if (!this.isOut) this.drop([this.#index.remove(slot)])
    return -1
  }

  configure (limits: IndexLimits): void {
    this.#options = { ...this.#options, limits }
    this.evict(this.#index.configure(limits))
  }

  /** Puts changes in the order of writes. */
  add (changes: RowChange[]): void {
    // What is decided while nothing can be written is forgotten with the index that decided it.
    if (this.#fault !== undefined) return
    let bytes = 0
    for (const change of changes) bytes += change.key.length + (change.type === 'put' ? change.value.length : 0)
    this.#commits.add(changes, bytes)
  }

  /** Keeps the rows of an entry, just added, to be read until they are written. */
  keep (namespace: string, key: string, rows: Pending): void { this.#commits.keep(nameOf(namespace, key), rows) }
  pending (namespace: string, key: string): Pending | undefined { return this.#commits.pending(nameOf(namespace, key)) }

  drop (removed: readonly Removed[]): void { for (const each of removed) this.add(rowsOf(each)) }

  /** What was evicted leaves the memory in front of the backend as well. */
  evict (removed: readonly Removed[]): void {
    this.drop(removed)
    for (const { namespace, key } of removed) this.listener?.onChange({ kind: 'key', namespace, key, stamp: this.nextStamp() })
  }

  /** Adds what changed of an entry since it was written. */
  amend (slots: readonly number[]): void {
    this.add(slots.map((slot) => {
      const { columns } = this.#index
      const key = rowKey('a', (columns.spaces[slot] as Space).name, columns.keys[slot] as string)
      const value = packAmendment(key, this.#index.amendment(slot))
      this.#index.amended(slot)
      return { type: 'put', key, value }
    }))
  }

  /**
   * An entry whose rows are not what was written goes, is counted and reported. While the disk does not work, what it holds is not what
   * the index knows, which is no damage.
   */
  discardDamaged (namespace: string, key: string, version: number): void {
    const slot = this.#index.find(namespace, key)
    if (this.isOut || slot === -1 || this.#index.columns.versions[slot] !== version) return
    this.#options.removals.of(namespace).damaged++
    this.drop([this.#index.remove(slot)])
    this.#options.onFault(new Error(`An entry of the cache in ${this.#options.folder} is damaged, and was deleted: ${JSON.stringify(key)} in ${namespace}.`))
  }

  /** Settles when everything added so far is written. */
  async written (): Promise<void> {
    try {
      await this.#commits.written()
    } catch (error) {
      if (error instanceof DeadlineError) throw diskFault(this.#options.folder, error)
      throw error
    }
  }

  /** Looks whether a disk that is left alone works again, which else nobody might for long. */
  async lookAgain (): Promise<void> { if (this.#breaker.state !== 'closed' && !this.#breaker.isHeld && !this.#isClosed) await this.admit('read') }

  /** Writes what was read since, and when. */
  async writeUses (): Promise<void> {
    while (!this.isOut) {
      const slots = this.#index.dirty(USES_PORTION)
      if (slots.length > 0) this.amend(slots)
      else if (!this.#index.hasDirty) return
      await this.written()
    }
  }

  /** @throws BackendUnavailableError */
  async read<T> (read: (disk: Disk) => Promise<T>): Promise<T> {
    const { folder } = this.#options
    // A disk that hangs may not even be closed: that goes on, whoever waits for it.
    if (this.#healing !== undefined) await withDeadline(this.#healing, READ_DEADLINE).catch((error: unknown) => { throw diskFault(folder, error) })
    if (this.#isClosed) throw new BackendUnavailableError(CLOSED)
    await this.admit('read')
    try {
      return await this.#breaker.run(async () => await withDeadline(read(this.#disk), READ_DEADLINE))
    } catch (error) {
      throw isRefusal(error) ? this.#leftAlone() : diskFault(this.#options.folder, error)
    }
  }

  /**
   * To be called before each operation, also one that the index alone could answer: what is left alone answers nothing. Once it was for long enough, it is seen
   * whether the disk works again: by what the operation needs of it, not by the operation, which may come to do nothing.
   * @throws BackendUnavailableError
   */
  async admit (need: 'read' | 'write'): Promise<void> {
    while (this.#breaker.state !== 'closed') {
      try {
        await this.#breaker.run(async () => { if (this.#breaker.state !== 'closed') await this.#look(need) })
      } catch (error) {
        throw isRefusal(error) ? this.#leftAlone() : error
      }
    }
  }

  /** To be called before each change. Gets a disk that failed to work again, at most so often. @throws what is wrong, when it does not */
  async restore (): Promise<void> {
    if (!this.isOut) return
    if (this.#isClosed) throw new BackendUnavailableError(CLOSED)
    await this.admit('write')
    await this.restoreDisk()
  }

  /** The same also while the disk is left alone. */
  async restoreDisk (): Promise<void> {
    if (!this.#isStuck) return
    if (this.#isClosed) throw new BackendUnavailableError(CLOSED)
    if (this.#fault === undefined) {
      if (this.#commits.isLate) this.#noteOutage()
      throw new BackendUnavailableError(`The cache's folder ${this.#options.folder} is too slow for what is written to it: try again in a moment.`)
    }
    await this.#tryHealing()
    if (this.#fault !== undefined) throw this.#fault
  }

  /** Writes what is still to be written, and closes the folder. */
  async close (): Promise<void> {
    if (this.#isClosed) return
    try {
      await this.#healing
      await this.writeUses()
      await this.#commits.written()
    } catch (error) {
      this.#options.onFault(error)
    } finally {
      this.#isClosed = true
      await this.#disk.close()
    }
  }

  async #look (need: 'read' | 'write'): Promise<void> {
    if (need === 'write') {
      await this.restoreDisk()
      this.add([{ type: 'del', key: PROBE }])
      await this.written()
      return
    }
    // It is closed by an attempt to open it anew that failed.
    if (this.#fault !== undefined) await this.#tryHealing()
    try {
      await withDeadline(this.#disk.read([PROBE]), READ_DEADLINE)
    } catch (error) {
      throw diskFault(this.#options.folder, error)
    }
  }

  #leftAlone (): Error { return new BackendUnavailableError(`The cache's folder ${this.#options.folder} did not work, and is left alone for a moment: check the disk (GET /admin/breakers).`) }

  /** Of what is no trial: that is counted by its own end. */
  #noteOutage (): void { if (this.#breaker.state === 'closed') this.#breaker.failed(0) }

  async #tryHealing (): Promise<void> {
    if (this.#healing === undefined && Date.now() >= this.#healNotBefore) {
      this.#healing = this.#heal().finally(() => {
        this.#healNotBefore = Date.now() + HEAL_INTERVAL
        this.#healing = undefined
      })
    }
    await this.#healing
  }

  /** A write failed. What follows it would be decided on what did not happen. */
  #fail (error: unknown): Error {
    if (!isFull(error)) this.#noteOutage()
    const told = isFull(error) ? new BackendFullError('file') : diskFault(this.#options.folder, error)
    this.#fault = told
    this.#isDamaged ||= isDamage(error)
    this.#healNotBefore = Date.now() + HEAL_INTERVAL
    this.#healing ??= this.#reload().then(() => {}, (error: unknown) => { this.#options.onFault(error) }).finally(() => { this.#healing = undefined })
    return told
  }

  /** LevelDB does not write on after a failure: the end of its log is unknown. Opened anew, it reads the log as far as it is sound. */
  async #heal (): Promise<void> {
    if (!this.#disk.hasRoom()) return
    try {
      await this.#disk.close()
      // A damaged table stops LevelDB from writing as soon as it comes to rewrite it.
      this.#disk = await Disk.open(diskOptions(this.#options), this.#isDamaged)
      const loaded = await this.#reload()
      this.#fault = undefined
      this.#isDamaged = false
      this.#tidy(loaded)
    } catch (error) {
      this.#fault = diskFault(this.#options.folder, error)
      this.#noteOutage()
    }
  }

  async #reload (): Promise<Loaded> {
    const loaded = await load(this.#disk, this.#options)
    this.#index = loaded.index
    this.#inForce = loaded.inForce
    this.#tallies = loaded.tallies
    this.#stamp = Math.max(this.#stamp, loaded.stamp)
    this.listener?.onResync([...this.#inForce.values()], this.#stamp)
    return loaded
  }

  #tidy ({ waste, damaged }: Loaded): void {
    for (const range of this.#disk.lost) {
      const namespace = namespaceOf(range)
      if (namespace !== undefined) this.#options.removals.of(namespace).damaged++
    }
    for (const namespace of damaged) this.#options.removals.of(namespace).damaged++
    if (damaged.length > 0) this.#options.onFault(new Error(`${damaged.length} entries of the cache in ${this.#options.folder} are damaged, and were deleted.`))
    if (waste.length > 0) this.add(waste)
  }
}

const diskOptions = ({ folder, sync, onFault }: ContentsOptions): DiskOptions => ({ folder, sync, onFault, isDurable: false, concernedBy })
