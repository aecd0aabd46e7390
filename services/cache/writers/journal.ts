import { setImmediate as nextTurn } from 'node:timers/promises'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BackendFullError, BackendUnavailableError } from '../errors.js'
import type { OnFault } from '../faults.js'
import { RecordFormat } from '../record-format.js'
import { type Journalled, packBody, readSegment, recordLength, SEGMENT_HEAD, unpackBody } from './journal-record.js'
import { Segment } from './segment.js'

/** Bytes after which the next segment is begun. */
const SEGMENT_SIZE = 16 * 1024 * 1024
/** Bytes of records that are made durable together. */
const GROUP = 4 * 1024 * 1024
const NAME = /^(\d{12})\.journal$/

export interface JournalOptions {
  /** Held by this process: see `holdFolder`. */
  folder: string
  /** How entries are written. Default: as they are. */
  format?: RecordFormat
  onFault: OnFault
  /** Bytes after which the next segment is begun. Default 16 MiB. */
  segmentSize?: number
  /** Makes the next segment; for tests of disks that fail. */
  newSegment?: (number: number, path: string) => Segment
}

/** A record of an earlier life of the process, and the segment that it stands in. */
export type Recovered = Journalled & { segment: Segment }

interface Waiting { seq: number, body: Buffer, resolve: (segment: Segment) => void, reject: (error: Error) => void }

/**
 * What is acknowledged before it is in the durable tier, on disk: records in segments, each made durable before its promise
 * settles; those that are asked for while the disk is busy share the next fsync. Segments go, the oldest first, when everything in
 * them is settled: in the durable tier, or replaced.
 */
export class Journal {
  #folder: string
  #format: RecordFormat
  #onFault: OnFault
  #segmentSize: number
  #newSegment: (number: number, path: string) => Segment
  /** The oldest first; records go to the last one while it is open. */
  #segments: Segment[] = []
  #lastNumber = 0
  #waiting: Waiting[] = []
  #isTurning = false
  #committing: Promise<void> | undefined
  #removing: Promise<void> = Promise.resolve()
  /** Segments that are about to go. */
  #removals = 0
  /** Stretches that could not be read, since the start. */
  damaged = 0

  private constructor ({ folder, format = new RecordFormat(), onFault, segmentSize = SEGMENT_SIZE, newSegment }: JournalOptions) {
    this.#folder = folder
    this.#format = format
    this.#onFault = onFault
    this.#segmentSize = segmentSize
    this.#newSegment = newSegment ?? ((number, path) => new Segment(number, path))
  }

  /**
   * Opens the journal in a folder and reads what is in it, in the order in which it was written. What is damaged is put into the
   * folder `quarantine` and reported; what an interrupted write left was never acknowledged, and is passed over.
   */
  static async open (options: JournalOptions): Promise<{ journal: Journal, recovered: Recovered[] }> {
    const journal = new Journal(options)
    const names = (await readdir(options.folder)).filter((name) => NAME.test(name)).sort()
    const recovered: Recovered[] = []
    for (const name of names) recovered.push(...await journal.#recover(name))
    return { journal, recovered }
  }

  /** Bytes on disk. */
  get bytes (): number { return this.#segments.reduce((sum, { size }) => sum + size, 0) }
  get segments (): number { return this.#segments.length }
  /** Whether there is nothing that would be played again now. */
  get isEmpty (): boolean { return this.#segments.length === 0 && this.#removals === 0 }

  /** The lowest number of a write that would be played again now; Infinity when there is none. */
  get oldestSeq (): number { return this.#segments.reduce((oldest, { firstSeq }) => Math.min(oldest, firstSeq), Infinity) }

  /**
   * Remembers something. Settles when it is on disk; it then counts as open until `settle` is told of its segment.
   * @throws BackendFullError when the disk is full · BackendUnavailableError when it fails
   */
  async append (what: Journalled): Promise<Segment> {
    const body = await packBody(what, this.#format)
    return await new Promise<Segment>((resolve, reject) => {
      this.#waiting.push({ seq: what.seq, body, resolve, reject })
      this.#begin()
    })
  }

  /** A record of the segment is in the durable tier, or was replaced by another. */
  settle (segment: Segment): void {
    segment.open--
    if (segment.open === 0 && segment === this.#segments[0]) this.#removeSettled()
  }

  /** Lets the last segment go as well when nothing in it is open, and it has so many bytes. */
  trim (size = 0): void {
    const last = this.#segments.at(-1)
    if (last !== undefined && last.open === 0 && last.isOpen && last.size >= size && this.#committing === undefined) void last.seal()
    this.#removeSettled()
  }

  /** Puts what comes from now on into a new segment. @returns the number of the last one that is not new */
  turn (): number {
    this.#isTurning = true
    return this.#lastNumber
  }

  /** Settles when nothing is being written or removed any more. */
  async close (): Promise<void> {
    while (this.#committing !== undefined) await this.#committing
    this.trim()
    await this.#removing
    await this.#segments.at(-1)?.seal()
  }

  #begin (): void {
    this.#committing ??= this.#commit().finally(() => {
      this.#committing = undefined
      // Some may have come after the last look.
      if (this.#waiting.length > 0) this.#begin()
    })
  }

  async #commit (): Promise<void> {
    // Whoever asks in this turn of the event loop comes along.
    await nextTurn()
    while (this.#waiting.length > 0) {
      const group = this.#nextGroup()
      try {
        const segment = await this.#current()
        await this.#appendTo(segment, group)
      } catch (error) {
        const fault = faultOfDisk(error as NodeJS.ErrnoException)
        for (const { reject } of group) reject(fault)
      }
    }
  }

  async #appendTo (segment: Segment, group: Waiting[]): Promise<void> {
    try {
      // Open before they are there: a segment that is being written to does not go.
      segment.open += group.length
      for (const { seq } of group) segment.firstSeq = Math.min(segment.firstSeq, seq)
      await segment.append(group.map(({ body }) => body))
    } catch (error) {
      segment.open -= group.length
      if (segment.size <= SEGMENT_HEAD) {
        this.#segments.splice(this.#segments.indexOf(segment), 1)
        await segment.remove().catch(this.#onFault)
      }
      this.#onFault(error)
      throw error
    }
    for (const { resolve } of group) resolve(segment)
    if (segment.size >= this.#segmentSize) await segment.seal()
  }

  #nextGroup (): Waiting[] {
    let bytes = 0
    let length = 0
    for (const { body } of this.#waiting) {
      if (length > 0 && bytes + recordLength(body) > GROUP) break
      bytes += recordLength(body)
      length++
    }
    return this.#waiting.splice(0, length)
  }

  async #current (): Promise<Segment> {
    const last = this.#segments.at(-1)
    if (last?.isOpen === true && !this.#isTurning) return last
    await last?.seal()
    this.#isTurning = false
    const number = ++this.#lastNumber
    const segment = this.#newSegment(number, join(this.#folder, `${String(number).padStart(12, '0')}.journal`))
    await segment.create()
    this.#segments.push(segment)
    return segment
  }

  /** The oldest first: a record may stand in for one that is older, and must not go before it. */
  #removeSettled (): void {
    while (this.#segments[0]?.open === 0 && !this.#segments[0].isOpen) {
      const segment = this.#segments.shift() as Segment
      this.#removals++
      this.#removing = this.#removing.then(async () => { await segment.remove() }).catch(this.#onFault).finally(() => { this.#removals-- })
    }
  }

  async #recover (name: string): Promise<Recovered[]> {
    const path = join(this.#folder, name)
    const bytes = await readFile(path)
    const number = Number(NAME.exec(name)?.[1])
    const segment = new Segment(number, path, bytes.length)
    this.#segments.push(segment)
    this.#lastNumber = Math.max(this.#lastNumber, number)
    const { bodies, damaged } = readSegment(bytes)
    for (const { at, bytes: stretch } of damaged) await this.#setAside(`${name}.${at}`, stretch)
    const recovered: Recovered[] = []
    for (const [at, body] of bodies.entries()) {
      const what = await unpackBody(body, this.#format)
      if (what === undefined) {
        await this.#setAside(`${name}.record-${at}`, body)
        continue
      }
      segment.open++
      segment.firstSeq = Math.min(segment.firstSeq, what.seq)
      recovered.push({ ...what, segment })
    }
    return recovered
  }

  async #setAside (name: string, bytes: Buffer): Promise<void> {
    this.damaged++
    const folder = join(this.#folder, 'quarantine')
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const path = join(folder, name)
    await writeFile(path, bytes, { mode: 0o600 })
    this.#onFault(new Error(`${bytes.length} bytes of the write-behind journal are damaged: they were put into ${path}, and what came after them was kept`))
  }
}

/** What a fault of the disk means to whoever asked for something. */
export function faultOfDisk (error: NodeJS.ErrnoException): Error {
  if (error.code === 'ENOSPC' || error.code === 'EDQUOT') {
    return Object.assign(new BackendFullError('journal'), { message: 'The disk of DATA_DIR, where write_behind and deletions are journalled, is full: make room there.' })
  }
  return new BackendUnavailableError(`The journal in DATA_DIR cannot be written (${error.code ?? 'unknown fault'}): look after the disk.`)
}
