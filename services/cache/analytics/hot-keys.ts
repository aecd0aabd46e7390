import { createHash } from 'node:crypto'
import type { Now } from '../clock.js'
import { nameOf } from '../in-flight.js'
import { type Counted, mergeTables, type Table } from './counted.js'
import { SpaceSaving } from './space-saving.js'

/** Keys counted in a window. */
const CAPACITY = 1024
/** How long a window lasts, in milliseconds; two of them are looked at. */
const WINDOW = 300_000
/** Reads after each turn that are counted one by one; of what comes on top, one in so many on average. */
const COUNTED = 4096
const ONE_IN = 32
/** UTF-16 units of a name that are kept; the rest of a longer one is kept as its hash. */
const LONGEST = 400
const KEPT = 340

export interface HotKey {
  namespace: string
  key: string
  /** Reads lately, found or not: an estimate. */
  reads: number
  /** The true number lies within `reads ± error` in 95 of 100 cases. */
  error: number
}

export interface HotKeysReport {
  /** Seconds that the counts cover. */
  window: number
  /** Reads in that time: of all keys, or of one namespace's as far as they are in the table. */
  reads: number
  /** Reads that were looked at, of all keys; undefined where one namespace was asked for. */
  sampled: number | undefined
  /** The most read first. */
  keys: HotKey[]
}

/** What one process has seen of it, for whoever puts several together. */
export interface HotKeysTold extends Table {
  window: number
  reads: number
  sampled: number
}

interface Window { began: number, sampled: number, readonly table: SpaceSaving }

/**
 * The keys that are read most lately, in bounded memory. Two windows take turns, so that what was hot ten minutes ago is forgotten.
 * Up to some four hundred reads a second are counted one by one; of more than that a sample, counted up by the random gap before
 * each sampled read, which keeps the counts right on average. A read that is passed over costs the decrement of a number.
 */
export class HotKeys {
  #now: Now
  #current: Window
  #previous: Window
  #gap = 1
  #left = 1
  #budget = COUNTED

  constructor (now: Now) {
    this.#now = now
    this.#current = { began: now(), sampled: 0, table: new SpaceSaving(CAPACITY) }
    this.#previous = { began: now(), sampled: 0, table: new SpaceSaving(CAPACITY) }
  }

  note (namespace: string, key: string): void {
    if (--this.#left === 0) this.#count(namespace, key)
  }

  /** To be called every ten seconds or so. */
  turn (): void {
    this.#budget = COUNTED
    const now = this.#now()
    if (now - this.#current.began < WINDOW) return
    const oldest = this.#previous
    this.#previous = this.#current
    this.#current = oldest
    oldest.began = now
    oldest.sampled = 0
    oldest.table.clear()
  }

  /** @param namespace leaves out the keys of all others */
  tell (namespace?: string): HotKeysTold {
    const windows = [this.#previous, this.#current]
    const merged = new Map<string, Counted>()
    for (const { table } of windows) {
      for (const counted of table.counted()) {
        const other = merged.get(counted.name)
        if (other === undefined) merged.set(counted.name, counted)
        else merged.set(counted.name, { name: counted.name, count: other.count + counted.count, error: other.error + counted.error })
      }
    }
    const reads = sum(windows, ({ table }) => table.total)
    const sampled = sum(windows, (window) => window.sampled)
    const prefix = namespace === undefined ? '' : nameOf(namespace, '')
    return {
      window: (this.#now() - this.#previous.began) / 1000,
      reads,
      sampled,
      unseen: sum(windows, ({ table }) => table.unseen),
      counted: [...merged.values()].filter(({ name }) => name.startsWith(prefix))
    }
  }

  /** Of this process. @param namespace leaves out the keys, and the reads, of all others */
  report (limit: number, namespace?: string): HotKeysReport { return hotKeysOf([this.tell(namespace)], limit, namespace) }

  #count (namespace: string, key: string): void {
    const { table } = this.#current
    this.#current.sampled++
    table.add(bounded(nameOf(namespace, key)), this.#gap)
    if (this.#budget > 0) {
      this.#budget--
      this.#gap = 1
    } else {
      this.#gap = 1 + Math.floor(Math.random() * (2 * ONE_IN - 1))
    }
    this.#left = this.#gap
  }
}

const sum = (windows: Window[], of: (window: Window) => number): number => windows.reduce((total, window) => total + of(window), 0)

const middleOf = ({ count, error }: Counted): number => count - error / 2

/**
 * The keys that are read most lately, of all that these tell of.
 * @param namespace the one that they tell of; undefined for all
 */
export function hotKeysOf (told: readonly HotKeysTold[], limit: number, namespace?: string): HotKeysReport {
  const [first] = told
  // Of one alone there is nothing to put together.
  const found = told.length === 1 && first !== undefined ? [...first.counted] : mergeTables(told).counted
  // By what is certain: a key that has only just taken a place inherited nearly all of its count.
  found.sort((a, b) => (b.count - b.error) - (a.count - a.error))
  const [reads, sampled] = told.reduce(([all, looked], each) => [all + each.reads, looked + each.sampled], [0, 0])
  const window = Math.max(0, ...told.map((each) => each.window))
  const rate = sampled === 0 ? 1 : reads / sampled
  const keys = found.slice(0, limit).map((each) => hotKeyOf(each, rate))
  if (namespace === undefined) return { window, reads, sampled, keys }
  return { window, reads: Math.round(found.reduce((total, each) => total + middleOf(each), 0)), sampled: undefined, keys }
}

/** @param rate reads that one sampled read stands for */
function hotKeyOf (counted: Counted, rate: number): HotKey {
  const colon = counted.name.indexOf(':')
  const middle = middleOf(counted)
  // Half of the range that the table leaves open, and twice the standard deviation of the sample.
  const error = counted.error / 2 + 2 * Math.sqrt(middle * Math.max(0, rate - 1))
  return { namespace: counted.name.slice(0, colon), key: counted.name.slice(colon + 1), reads: Math.round(middle), error: Math.ceil(error) }
}

/** The API bounds keys; other users of the engine may not. */
function bounded (name: string): string {
  if (name.length <= LONGEST) return name
  return `${name.slice(0, KEPT)}…${createHash('sha256').update(name).digest('hex').slice(0, 16)}`
}
