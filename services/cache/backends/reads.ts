import type { StoredEntry } from '../entry.js'
import { nameOf } from '../in-flight.js'

/** How often reads are reported, in milliseconds. */
const REPORT_INTERVAL = 250
/** Entries whose reads wait to be reported; more are dropped, as these are only statistics. */
const BOUND = 10_000

/** Reads that writes may have reported between two regular reports: more than any one caller can have seen answered, and little for a server. */
const HURRIED = 1000

/** The reads of one entry since the last report. */
export interface Reads { namespace: string, key: string, version: number, reads: number, at: number }

/** Gathers the reads of entries, so that a read costs no write. Reports have the least recently read entry first. */
export class ReadReports {
  #waiting = new Map<string, Reads>()
  #report: (reads: Reads[], isHurried: boolean) => Promise<void>
  #reporting: Promise<void> | undefined
  #hurried = 0
  #timer: NodeJS.Timeout

  /**
   * @param report statistics of entries that are gone, or of a server that is down, are not worth an error: it must not throw. Resolves when
   * the server has them: one that is behind is told no more until then
   */
  constructor (report: (reads: Reads[], isHurried: boolean) => Promise<void>) {
    this.#report = report
    this.#timer = setInterval(() => {
      if (this.#reporting !== undefined) return
      this.#hurried = 0
      this.#send(false)
    }, REPORT_INTERVAL)
    this.#timer.unref()
  }

  /**
   * Resolves when the reads so far are reported: for a write, so that who has to make room for it goes by them. With more reads than
   * that is worth, those that wait are left to the next regular report. Undefined when there is nothing to wait for.
   */
  hurry (): Promise<void> | undefined {
    if (this.#hurried + this.#waiting.size <= HURRIED) {
      this.#hurried += this.#waiting.size
      this.#send(true)
    }
    return this.#reporting
  }

  #send (isHurried: boolean): void {
    if (this.#waiting.size === 0) return
    const reads = [...this.#waiting.values()]
    this.#waiting.clear()
    const reporting: Promise<void> = Promise.all([this.#reporting, this.#report(reads, isHurried)]).then(() => {}).finally(() => {
      if (this.#reporting === reporting) this.#reporting = undefined
    })
    this.#reporting = reporting
  }

  note (namespace: string, key: string, version: number, reads: number, at: number): void {
    const name = nameOf(namespace, key)
    const waiting = this.#waiting.get(name)
    if (waiting !== undefined && waiting.version === version) {
      waiting.reads += reads
      waiting.at = at
      this.#waiting.delete(name)
      this.#waiting.set(name, waiting)
    } else if (this.#waiting.size < BOUND) {
      this.#waiting.set(name, { namespace, key, version, reads, at })
    }
  }

  /** The entry with the reads that still wait. */
  applied (entry: StoredEntry): StoredEntry {
    const waiting = this.#waiting.get(nameOf(entry.namespace, entry.key))
    return waiting?.version === entry.version ? { ...entry, accessCount: entry.accessCount + waiting.reads, accessedAt: waiting.at } : entry
  }

  stop (): void { clearInterval(this.#timer) }
}
