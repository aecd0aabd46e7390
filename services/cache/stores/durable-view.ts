import type { Now } from '../clock.js'
import { type Entry, sizeOf, type StoredEntry } from '../entry.js'
import { matcherOf, type Matcher } from '../glob.js'
import { nameOf } from '../in-flight.js'
import type { Marker } from '../ledger.js'
import { formatVersion } from '../version.js'
import type { Durability } from '../writers/durability.js'
import type { LocalStore } from './local-store.js'
import { PageOfNames } from './page-of-names.js'
import type { ListQuery, Listing, Usage } from './store.js'

/** What tells the cursors of these pages from those of pages over memory alone. */
const CURSOR = '_'
/** Entries that are read at once for a dump, and about the bytes of their values. */
const PORTION = 256
const PORTION_BYTES = 4 * 1024 * 1024

type Facts = Omit<StoredEntry, 'value'> & { readonly valueLength: number }

export interface DurableViewOptions {
  durability: Durability
  local: LocalStore
  now: Now
  /** The invalidation that an entry falls to. */
  verdict: (entry: Omit<StoredEntry, 'value'>) => Marker | undefined
}

/** What can be asked about many entries at once, where some are in memory, some wait to be written, and some are in the tier alone. */
export class DurableView {
  #options: DurableViewOptions

  constructor (options: DurableViewOptions) { this.#options = options }

  static isCursor (cursor: string): boolean { return cursor.startsWith(CURSOR) }

  async list (namespace: string, query: ListQuery): Promise<Listing> {
    const { limit, offset = 0, cursor } = query
    const matches = matcherOf(query) ?? (() => true)
    const after = cursor === undefined ? undefined : Buffer.from(cursor.slice(CURSOR.length), 'base64url').toString()
    const found = new PageOfNames<Facts | undefined>({ after, offset, limit })
    for await (const portion of this.#durable(namespace)) for (const facts of portion) if (matches(facts.key)) found.add(facts.key, facts)
    // Of those in memory only the key, until the page is known.
    for await (const entries of this.#options.local.dump(namespace, matches)) for (const { key } of entries) if (!found.has(key)) found.add(key, undefined)
    const { names, next } = found.page()
    return {
      total: found.total,
      entries: names.flatMap(([key, facts]) => this.#listed(namespace, key, facts) ?? []),
      cursor: next === undefined ? undefined : CURSOR + Buffer.from(next).toString('base64url')
    }
  }

  /** Of what is not in memory. */
  async usage (namespace: string | undefined): Promise<Usage> {
    const usage = { items: 0, bytes: 0 }
    const { memory } = this.#options.local
    for await (const portion of this.#durable(namespace)) {
      for (const facts of portion) {
        if (memory.find(facts.namespace, facts.key) !== -1) continue
        usage.items++
        usage.bytes += sizeOfFacts(facts)
      }
    }
    return usage
  }

  /** Of what is durable. */
  async * dump (namespace: string | undefined, matches: Matcher): AsyncIterable<StoredEntry[]> {
    const { durability: { behind, tier } } = this.#options
    for await (const portion of this.#durable(namespace)) {
      let entries: StoredEntry[] = []
      for (const [name, keys] of portions(portion.filter(({ key }) => matches(key)))) {
        const waiting = keys.map((key) => behind.lookup(nameOf(name, key)))
        const stored = await tier.getMany(name, keys)
        entries = keys.flatMap((_, at) => (waiting[at] === undefined ? stored[at] : waiting[at].entry) ?? [])
        yield entries.filter((entry) => this.#isVisible(entry)).map((entry) => this.#asRead(entry))
      }
    }
  }

  /** Of what is durable, without the values. */
  outlines (namespace: string): AsyncIterable<Facts[]> { return this.#durable(namespace) }

  /** What is durable, also where memory has it too: what waits to be written, then what the tier has; an entry may come twice if it is written meanwhile. */
  async * #durable (namespace: string | undefined): AsyncIterable<Facts[]> {
    const { durability: { behind, presence, tier } } = this.#options
    if (namespace !== undefined && !presence.mayHoldAny(namespace)) return
    const waiting = new Map([...behind.pending()].filter((pending) => namespace === undefined || pending.namespace === namespace)
      .map((pending) => [pending.name, pending.entry]))
    yield [...waiting.values()].flatMap((entry) => entry !== undefined && this.#isVisible(entry) ? [{ ...entry, value: '', valueLength: entry.value.length }] : [])
    for await (const portion of tier.scan(namespace)) {
      yield portion.filter((facts) => {
        const name = nameOf(facts.namespace, facts.key)
        const pending = behind.lookup(name)
        return !waiting.has(name) && this.#isVisible(facts) && (pending === undefined || pending.entry !== undefined)
      })
    }
  }

  /** What is in memory knows of its reads. */
  #asRead (entry: StoredEntry): StoredEntry {
    const { memory } = this.#options.local
    const slot = memory.find(entry.namespace, entry.key)
    return slot !== -1 && memory.versionAt(slot) === entry.version ? memory.stored(slot) : entry
  }

  #isVisible (entry: Omit<StoredEntry, 'value'>): boolean {
    return entry.expiresAt > this.#options.now() && this.#options.verdict(entry) === undefined
  }

  #listed (namespace: string, key: string, facts: Facts | undefined): Entry | undefined {
    const { memory } = this.#options.local
    // What is in memory knows of its reads.
    const slot = memory.find(namespace, key)
    if (slot !== -1 && memory.isFresh(slot)) return memory.entry(slot)
    if (facts === undefined) return undefined
    const { valueLength: _, stamp: __, version, ...rest } = facts
    return { ...rest, value: '', version: formatVersion(version), size: sizeOfFacts(facts) }
  }
}

const sizeOfFacts = ({ key, tags, metadata, valueLength }: Facts): number => sizeOf(key, '', tags, metadata) + valueLength

/** The keys of entries by namespace, as many at once as hold about PORTION_BYTES of values. */
function * portions (entries: readonly Facts[]): Generator<[namespace: string, keys: string[]]> {
  for (const namespace of new Set(entries.map((entry) => entry.namespace))) {
    let keys: string[] = []
    let bytes = 0
    for (const entry of entries) {
      if (entry.namespace !== namespace) continue
      keys.push(entry.key)
      bytes += entry.valueLength
      if (bytes < PORTION_BYTES && keys.length < PORTION) continue
      yield [namespace, keys]
      keys = []
      bytes = 0
    }
    if (keys.length > 0) yield [namespace, keys]
  }
}
