import { BackendUnavailableError } from '../../errors.js'
import { nameOf } from '../../in-flight.js'
import { prefixLength } from '../../record.js'
import type { Facts } from '../../record-format.js'
import type { ScannedEntry } from '../backend.js'
import type { Place } from '../coordination/coordination.js'
import { CONTENDED, TRIES } from './changes.js'
import type { Seen } from './client.js'
import type { DumpedItem } from './dump.js'
import { isOutage } from './faults.js'
import { IDEMPOTENT } from '../../resilience.js'
import { AWAY, type ItemAccess, SCAN_FACTOR } from './item-access.js'
import { unframe } from './items.js'
import type { ItemName, ItemNames } from './names.js'
import { BATCH, withReads } from './read-counts.js'

/** Items in a portion of a scan, and their bytes in the server. */
const PORTION = 250
const PORTION_BYTES = 4 * 1024 * 1024
/** Scanned entries whose items are remembered. */
const REMEMBERED = 8 * PORTION

/** Where an entry of this version was found. */
interface Found { version: number, name: ItemName, seen: Seen }

export type Discarded = Pick<ScannedEntry, 'key' | 'version'>

/**
 * Goes through everything that the server lists. Whether an entry can be seen stands in its record, and the protocol answers items whole:
 * so values come along, in portions of bounded size.
 */
export class ItemScan {
  #items: ItemAccess
  /** Where the entries of the last portions were found, for `discard`. */
  #found = new Map<string, Found>()

  constructor (items: ItemAccess) { this.#items = items }

  async * scan (namespace: string | undefined): AsyncIterable<ScannedEntry[]> {
    const { client, coordination } = this.#items
    const place = await coordination.place()
    const names = this.#items.names(place)
    // A pass takes longer than an operation does, but a server that hangs is found out as soon.
    await this.#items.run(async () => await client.ping(), IDEMPOTENT)
    const dump = await this.#items.run(async () => await client.dump(names.beginning(namespace)), IDEMPOTENT, SCAN_FACTOR)
    try {
      for await (const items of dump.portions(PORTION, PORTION_BYTES)) {
        const found = await this.#scanned(items, names, place)
        if (found.length > 0) yield found
      }
    } catch (error) {
      throw isOutage(error) ? new BackendUnavailableError(AWAY) : error
    }
  }

  /** Scanned entries with their reads. */
  async counted (namespace: string, entries: readonly ScannedEntry[]): Promise<ScannedEntry[]> {
    const { client, coordination } = this.#items
    const place = await coordination.place()
    const names = this.#items.names(place)
    const counted: ScannedEntry[] = []
    for (let from = 0; from < entries.length; from += PORTION) {
      const portion = entries.slice(from, from + PORTION)
      const reads = await this.#items.run(async () => await client.getMany(portion.map(({ key }) => names.of(namespace, key, 'reads'))), IDEMPOTENT, SCAN_FACTOR)
      counted.push(...portion.map((entry, at) => withReads(entry, reads[at], place)))
    }
    return counted
  }

  async discard (namespace: string, entries: readonly Discarded[]): Promise<number> {
    const { client } = this.#items
    let count = 0
    for (let from = 0; from < entries.length; from += BATCH) {
      let left: readonly Discarded[] = entries.slice(from, from + BATCH)
      // An item may have been written anew with the same entry in it (a lifetime, a fence) or be seen over a connection that is lost.
      for (let tries = 0; left.length > 0; tries++) {
        if (tries === TRIES) throw new BackendUnavailableError(CONTENDED)
        const found = await this.#whereabouts(namespace, left, tries === 0)
        const gone = await this.#items.run(async () => await Promise.all(found.map(async ({ name, seen }) => await client.remove(name, seen))), undefined, SCAN_FACTOR)
        count += gone.filter((isGone) => isGone).length
        left = found.flatMap(({ entry }, at) => gone[at] === true ? [] : [entry])
      }
    }
    return count
  }

  async #scanned (items: DumpedItem[], names: ItemNames, place: Place): Promise<ScannedEntry[]> {
    const { client } = this.#items
    const parsed = items.flatMap(({ token }) => names.parse(token) ?? [])
    const records = await this.#items.run(async () => await client.getMany(parsed.map(({ name }) => name)), IDEMPOTENT, SCAN_FACTOR)
    return parsed.flatMap(({ namespace, key, name }, at) => {
      const item = records[at]
      const itsKey = key ?? (item === undefined ? undefined : unframe(item)?.key)
      const live = itsKey === undefined ? undefined : this.#items.live(namespace, itsKey, item, place)
      if (item === undefined || live === undefined) return []
      const { facts, record } = live
      this.#remember(facts, { version: facts.version, name, seen: { cas: item.cas, connection: item.connection } })
      return [{ ...facts, valueLength: record.length - (prefixLength(record) as number) }]
    })
  }

  #remember ({ namespace, key }: Facts, found: Found): void {
    const name = nameOf(namespace, key)
    this.#found.delete(name)
    this.#found.set(name, found)
    if (this.#found.size <= REMEMBERED) return
    const [oldest] = this.#found.keys()
    this.#found.delete(oldest as string)
  }

  /** The items of those of the entries that are still there; `known` takes those of the last scans for it. */
  async #whereabouts (namespace: string, entries: readonly Discarded[], known: boolean): Promise<(Found & { entry: Discarded })[]> {
    const remembered: (Found & { entry: Discarded })[] = []
    const others: Discarded[] = []
    for (const entry of entries) {
      const found = known ? this.#found.get(nameOf(namespace, entry.key)) : undefined
      if (found?.version === entry.version) remembered.push({ ...found, entry })
      else others.push(entry)
    }
    const { client, coordination } = this.#items
    const place = await coordination.place()
    const names = others.map(({ key }) => this.#items.names(place).of(namespace, key))
    const items = await this.#items.run(async () => await client.getMany(names), IDEMPOTENT, SCAN_FACTOR)
    const read = others.flatMap((entry, at) => {
      const item = items[at]
      const isThere = item !== undefined && this.#items.live(namespace, entry.key, item, place)?.facts.version === entry.version
      return isThere ? [{ version: entry.version, name: names[at] as ItemName, seen: item, entry }] : []
    })
    return [...remembered, ...read]
  }
}
