import { crc32 } from 'node:zlib'
import { Disk, diskFault, type Row, type RowChange } from '../backends/file/disk.js'
import { isDamage, isFull } from '../backends/file/level-errors.js'
import { Breaker, type BreakerOptions, type BreakerState, type BreakerSwitch, isRefusal } from '../breaker.js'
import type { Now } from '../clock.js'
import type { StoredEntry } from '../entry.js'
import { BackendFullError, BackendUnavailableError } from '../errors.js'
import type { OnFault } from '../faults.js'
import { nameOf } from '../in-flight.js'
import { type PackedRecord, RecordFormat } from '../record-format.js'
import { type DurableFacts, type DurableTier, type DurableWrite, TOMBSTONE_LIFETIME } from './tier.js'

/*
 * A row stands under its space, namespace and key (as a JSON string), and holds, numbers little-endian:
 *
 * | offset | bytes | |
 * |---|---|---|
 * | 0 | 4 | CRC-32 of the row's key and all that follows |
 * | 4 | 8 | number of the write |
 * | 12 | 8 | when it is gone, in milliseconds |
 * | 20 | 4 | length of the record's head; 0 for what is left of a deletion |
 * | 24 | | the record: see `record-format.ts` |
 */
const HEAD = 24
/** Rows that one write of a sweep removes. */
const SWEPT = 500

export interface FileTierOptions {
  /** For this process alone. */
  folder: string
  /** Tells the entries of one journal from those of another: letters and digits. */
  space: string
  now: Now
  /** How entries are written. Default: as they are. */
  format?: RecordFormat
  onFault: OnFault
  /** For how long a disk that fails is left alone, and how many operations in a row have to succeed then: see `BreakerOptions`. */
  breaker?: Pick<BreakerOptions, 'leaveAlone' | 'trials'>
}

/** Changes that wait, and what tells those who asked for them. */
interface Group { writes: Map<string, RowWrite>, settled: Promise<void> }
/** `over`: only over the row with exactly that number. */
interface RowWrite { rowKey: Buffer, seq: number, gone: number, record: PackedRecord | undefined, over?: number }

/**
 * Durable entries in a LevelDB of their own. Every write waits for the device; those that are asked for while one is under way are
 * written together.
 */
export class FileTier implements DurableTier {
  readonly name = 'file'
  #options: FileTierOptions
  #format: RecordFormat
  #disk: Promise<Disk>
  readonly #breaker: Breaker
  /** LevelDB takes nothing any more after a write that failed, until it is opened again. */
  #isBroken = false
  /** Whether it was damage that it came upon: a damaged table stops the writes each time LevelDB comes to rewrite it. */
  #isDamaged = false
  #next: Group | undefined
  #running: Promise<unknown> = Promise.resolve()

  private constructor (options: FileTierOptions, disk: Disk) {
    this.#options = options
    this.#format = options.format ?? new RecordFormat()
    this.#disk = Promise.resolve(disk)
    this.#breaker = new Breaker({ isOutage: (error) => !(error instanceof BackendFullError), ...options.breaker })
  }

  /** @throws FolderInUseError · FolderUnusableError */
  static async open (options: FileTierOptions): Promise<FileTier> { return new FileTier(options, await openDisk(options)) }

  /** `closed` is the good state; `open` leaves the disk alone for a second. */
  get breaker (): BreakerState { return this.#breaker.state }
  /** For operators. */
  get switch (): BreakerSwitch { return this.#breaker }

  async getMany (namespace: string, keys: readonly string[]): Promise<(StoredEntry | undefined)[]> {
    const rowKeys = keys.map((key) => this.#rowKey(namespace, key))
    const rows = await this.#run(async (disk) => await disk.read(rowKeys))
    return await Promise.all(rows.map(async (bytes, at) => {
      const row = bytes instanceof Buffer ? unpackRow(rowKeys[at] as Buffer, bytes) : undefined
      return row === undefined || row.headLength === 0 ? undefined : await this.#format.unpack(namespace, keys[at] as string, Buffer.from(row.record), 0)
    }))
  }

  async write (writes: readonly DurableWrite[]): Promise<void> {
    const buried = this.#options.now() + TOMBSTONE_LIFETIME
    const changes = await Promise.all(writes.map(async ({ namespace, key, seq, entry }): Promise<RowWrite> => {
      const record = entry === undefined ? undefined : await this.#format.pack(entry, 0)
      return { rowKey: this.#rowKey(namespace, key), seq, gone: entry?.goneAt ?? buried, record }
    }))
    await this.#write(changes)
  }

  async drop (entries: readonly DurableFacts[]): Promise<void> {
    const gone = this.#options.now() + TOMBSTONE_LIFETIME
    await this.#write(entries.map(({ namespace, key, seq }) => ({ rowKey: this.#rowKey(namespace, key), seq, gone, record: undefined, over: seq })))
  }

  async * scan (namespace: string | undefined): AsyncIterable<DurableFacts[]> {
    const prefix = `${this.#options.space}/`
    for await (const rows of this.#rows(namespace === undefined ? prefix : prefix + nameOf(namespace, ''))) {
      yield rows.flatMap(([rowKey, bytes]) => {
        const row = unpackRow(rowKey, bytes)
        const named = nameIn(rowKey.toString('utf8', prefix.length))
        if (row === undefined || row.headLength === 0 || named === undefined) return []
        const facts = this.#format.facts(named.namespace, named.key, row.record.subarray(0, row.headLength), 0)
        return facts === undefined ? [] : [{ ...facts, valueLength: row.record.length - row.headLength, seq: row.seq }]
      })
    }
  }

  async sweep (before: number): Promise<void> {
    const now = this.#options.now()
    let over: RowChange[] = []
    const remove = async (): Promise<void> => {
      const changes = over
      over = []
      // Between two writes: what has changed since is not over any more.
      if (changes.length > 0) {
        await this.#inTurn(async () => {
          await this.#run(async (disk) => {
            const rows = await disk.read(changes.map(({ key }) => key))
            await disk.write(changes.filter(({ key }, at) => isOver(key, rows[at], now, before)))
          })
        })
      }
    }
    for await (const rows of this.#rows(`${this.#options.space}/`)) {
      for (const [key, bytes] of rows) if (isOver(key, bytes, now, before)) over.push({ type: 'del', key })
      if (over.length >= SWEPT) await remove()
    }
    await remove()
  }

  async close (): Promise<void> {
    await this.#running.catch(() => {}) // whoever asked for it was told
    await (await this.#disk).close()
  }

  /** Settles when the changes are on disk, with those that others ask for meanwhile. */
  async #write (writes: readonly RowWrite[]): Promise<void> {
    if (writes.length === 0) return
    if (this.#next === undefined) {
      const group: Group = { writes: new Map(), settled: Promise.resolve() }
      this.#next = group
      group.settled = this.#inTurn(async () => {
        this.#next = undefined
        await this.#commit([...group.writes.values()])
      })
    }
    const group = this.#next
    for (const write of writes) {
      const name = write.rowKey.toString('latin1')
      const other = group.writes.get(name)
      // One that names what it is for waits for its own turn, so that it sees what the other does.
      if (other !== undefined && (write.over !== undefined || other.over !== undefined)) {
        await group.settled
        await this.#write(writes)
        return
      }
      if (other === undefined || isNewer(write, other.seq, other.record === undefined)) group.writes.set(name, write)
    }
    await group.settled
  }

  async #commit (writes: readonly RowWrite[]): Promise<void> {
    await this.#run(async (disk) => {
      const rows = await disk.read(writes.map(({ rowKey }) => rowKey))
      const changes: RowChange[] = []
      for (const [at, write] of writes.entries()) {
        const bytes = rows[at]
        const row = bytes instanceof Buffer ? unpackRow(write.rowKey, bytes) : undefined
        const applies = write.over === undefined
          ? row === undefined || isNewer(write, row.seq, row.headLength === 0)
          : row !== undefined && row.seq === write.over && row.headLength > 0
        if (applies) changes.push({ type: 'put', key: write.rowKey, value: packRow(write) })
      }
      await disk.write(changes)
    })
  }

  async #inTurn<T> (work: () => Promise<T>): Promise<T> {
    const mine = this.#running.then(work, work)
    this.#running = mine
    return await mine
  }

  async * #rows (prefix: string): AsyncGenerator<Row[]> {
    // A pass is long, and no trial.
    if (this.#breaker.state !== 'closed') throw this.#leftAlone()
    const disk = await this.#opened()
    const end = Buffer.from(prefix)
    end[end.length - 1]!++
    try {
      yield * disk.rows({ gte: Buffer.from(prefix), lt: end })
    } catch (error) {
      if (!isFull(error)) this.#breaker.failed(0)
      throw this.#fault(error)
    }
  }

  async #run<T> (work: (disk: Disk) => Promise<T>): Promise<T> {
    try {
      return await this.#breaker.run(async () => {
        const disk = await this.#opened()
        try {
          return await work(disk)
        } catch (error) {
          this.#isBroken = true
          this.#isDamaged ||= isDamage(error)
          throw this.#fault(error)
        }
      })
    } catch (error) {
      throw isRefusal(error) ? this.#leftAlone() : error
    }
  }

  async #opened (): Promise<Disk> {
    const disk = await this.#disk
    if (!this.#isBroken) return disk
    if (!disk.hasRoom()) throw new BackendFullError(this.name)
    this.#isBroken = false
    const isDamaged = this.#isDamaged
    this.#isDamaged = false
    this.#disk = disk.close().then(async () => await openDisk(this.#options, isDamaged)).catch((error: unknown) => {
      this.#isBroken = true
      this.#isDamaged = isDamaged
      this.#options.onFault(error)
      return disk
    })
    return await this.#disk
  }

  #fault (error: unknown): Error { return isFull(error) ? new BackendFullError(this.name) : diskFault(this.#options.folder, error) }

  #leftAlone (): Error { return new BackendUnavailableError(`The folder ${this.#options.folder} did not work, and is left alone for a moment: check the disk (GET /admin/breakers).`) }

  #rowKey (namespace: string, key: string): Buffer { return Buffer.from(`${this.#options.space}/${nameOf(namespace, JSON.stringify(key))}`) }
}

const openDisk = async ({ folder, onFault }: FileTierOptions, isDamaged = false): Promise<Disk> => await Disk.open({ folder, sync: true, onFault, isDurable: true, concernedBy: (lost) => [lost] }, isDamaged)

/** A deletion also of a write with its own number: see `Sweeper`. */
const isNewer = ({ seq, record }: RowWrite, other: number, isTombstone: boolean): boolean =>
  seq > other || (seq === other && record === undefined && !isTombstone)

function isOver (rowKey: Buffer, bytes: Buffer | 'damaged' | undefined, now: number, before: number): boolean {
  const row = bytes instanceof Buffer ? unpackRow(rowKey, bytes) : undefined
  return row !== undefined && row.gone <= now && row.seq < before
}

function packRow ({ rowKey, seq, gone, record }: RowWrite): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD + (record?.record.length ?? 0))
  bytes.writeDoubleLE(seq, 4)
  bytes.writeDoubleLE(gone, 12)
  bytes.writeUInt32LE(record?.headLength ?? 0, 20)
  record?.record.copy(bytes, HEAD)
  bytes.writeUInt32LE(crc32(bytes.subarray(4), crc32(rowKey)), 0)
  return bytes
}

/** Undefined for what is damaged. */
function unpackRow (rowKey: Buffer, bytes: Buffer): { seq: number, gone: number, headLength: number, record: Buffer } | undefined {
  if (bytes.length < HEAD || crc32(bytes.subarray(4), crc32(rowKey)) !== bytes.readUInt32LE(0)) return undefined
  return { seq: bytes.readDoubleLE(4), gone: bytes.readDoubleLE(12), headLength: bytes.readUInt32LE(20), record: bytes.subarray(HEAD) }
}

function nameIn (name: string): { namespace: string, key: string } | undefined {
  const colon = name.indexOf(':')
  try {
    return { namespace: name.slice(0, colon), key: JSON.parse(name.slice(colon + 1)) as string }
  } catch {
    return undefined // no row of ours
  }
}
