import type { StoredEntry } from '../entry.js'
import { nameOf } from '../in-flight.js'

/** How often reads are reported, in milliseconds. */
const REPORT_INTERVAL = 250
/** Entries whose reads wait to be reported; more are dropped, as these are only statistics. */
const BOUND = 10_000

/** The reads of one entry since the last report. */
export interface Reads { namespace: string, key: string, version: number, reads: number, at: number }

/** Gathers the reads of entries, so that a read costs no write. */
export class ReadReports {
  #waiting = new Map<string, Reads>()
  #timer: NodeJS.Timeout

  /** @param report statistics of entries that are gone, or of a server that is down, are not worth an error: it must not throw */
  constructor (report: (reads: Reads[]) => void) {
    this.#timer = setInterval(() => {
      if (this.#waiting.size === 0) return
      const reads = [...this.#waiting.values()]
      this.#waiting.clear()
      report(reads)
    }, REPORT_INTERVAL)
    this.#timer.unref()
  }

  note (namespace: string, key: string, version: number, reads: number, at: number): void {
    const name = nameOf(namespace, key)
    const waiting = this.#waiting.get(name)
    if (waiting !== undefined && waiting.version === version) {
      waiting.reads += reads
      waiting.at = at
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
