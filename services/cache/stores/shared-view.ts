import type { Drawn, Outline, PageQuery, ScannedEntry, SharedBackend } from '../backends/backend.js'
import { outlinesIn } from '../backends/outline.js'
import { type Caller, throwIfGone, whileThere } from '../caller.js'
import { sizeOf, type StoredEntry } from '../entry.js'
import { matcherOf, type Matcher } from '../glob.js'
import { nameOf } from '../in-flight.js'
import { formatVersion } from '../version.js'
import { PageOfNames } from './page-of-names.js'
import type { ListQuery, Listing, Usage } from './store.js'

/** Entries that are read at once for a dump, and about the bytes of their values. */
const PORTION = 256
const PORTION_BYTES = 4 * 1024 * 1024

export interface SharedViewOptions {
  backend: SharedBackend
  /** Whether callers may see an entry. */
  isVisible: (entry: Omit<Outline, 'size'>) => boolean
  /** Learns of the invalidations that entries have to be held against. */
  catchUp: () => Promise<void>
}

/** What can be asked about many entries of a shared backend at once. */
export class SharedView {
  #options: SharedViewOptions

  constructor (options: SharedViewOptions) { this.#options = options }

  async list (namespace: string, query: ListQuery, caller?: Caller): Promise<Listing> {
    const { backend, isVisible, catchUp } = this.#options
    const { limit, offset = 0, cursor } = query
    const matches = matcherOf(query) ?? (() => true)
    if (backend.page !== undefined) {
      await catchUp()
      const visible: PageQuery['isVisible'] = (entry) => isVisible(entry)
      const page = await backend.page(namespace, { matches, isVisible: visible, limit, offset: cursor === undefined ? offset : 0, cursor })
      return { ...page, entries: page.entries.map(listed) }
    }
    const after = cursor === undefined ? undefined : Buffer.from(cursor, 'base64url').toString()
    const found = new PageOfNames<ScannedEntry>({ after, offset, limit })
    for await (const entries of this.scan(namespace, caller)) {
      for (const entry of entries) if (matches(entry.key)) found.add(entry.key, entry)
    }
    const { names, next } = found.page()
    const entries = names.map(([, entry]) => entry)
    return {
      total: found.total,
      entries: (await backend.counted?.(namespace, entries) ?? entries).map(listed),
      cursor: next === undefined ? undefined : Buffer.from(next).toString('base64url')
    }
  }

  async * dump (namespace: string | undefined, matches: Matcher, caller?: Caller): AsyncIterable<StoredEntry[]> {
    const { backend, isVisible } = this.#options
    for await (const scanned of this.scan(namespace, caller)) {
      for (const [name, found] of portions(scanned.filter(({ key }) => matches(key)))) {
        throwIfGone(caller)
        const entries = await backend.getMany(name, found)
        yield entries.flatMap((entry) => entry === undefined || !isVisible(entry) ? [] : [entry])
      }
    }
  }

  async * outlines (namespace: string): AsyncIterable<Outline[]> {
    const { backend, isVisible, catchUp } = this.#options
    await catchUp()
    for await (const entries of outlinesIn(backend, namespace)) yield entries.filter((entry) => isVisible(entry))
  }

  async usage (namespace?: string, caller?: Caller): Promise<Usage> {
    const { backend, isVisible, catchUp } = this.#options
    const told = await backend.usage?.(namespace)
    if (told !== undefined) return told
    const usage = { items: 0, bytes: 0 }
    const seen = new Set<string>()
    await catchUp()
    for await (const entries of whileThere(outlinesIn(backend, namespace), caller)) {
      for (const entry of entries) {
        const name = nameOf(entry.namespace, entry.key)
        if (seen.has(name) || !isVisible(entry)) continue
        seen.add(name)
        usage.items++
        usage.bytes += entry.size
      }
    }
    return usage
  }

  async sample (namespace: string | undefined, most: number): Promise<Drawn | undefined> {
    const { backend, isVisible, catchUp } = this.#options
    await catchUp()
    const drawn = await backend.sample?.(namespace, most)
    if (drawn === undefined) return undefined
    // Of those that were not drawn about as many may not be seen.
    const entries = drawn.entries.filter((entry) => isVisible(entry))
    const share = entries.length / Math.max(1, drawn.entries.length)
    return { entries, items: Math.round(drawn.items * share), bytes: Math.round(drawn.bytes * share) }
  }

  async * scan (namespace: string | undefined, caller?: Caller): AsyncIterable<ScannedEntry[]> {
    const { backend, isVisible, catchUp } = this.#options
    await catchUp()
    for await (const entries of whileThere(backend.scan(namespace), caller)) {
      yield entries.filter((entry) => isVisible(entry))
    }
  }
}

/** The keys of scanned entries by namespace, as many at once as hold about PORTION_BYTES of values. */
function * portions (entries: readonly ScannedEntry[]): Generator<[namespace: string, keys: string[]]> {
  const namespaces = new Set(entries.map(({ namespace }) => namespace))
  for (const namespace of namespaces) {
    let keys: string[] = []
    let bytes = 0
    for (const { namespace: own, key, valueLength } of entries) {
      if (own !== namespace) continue
      keys.push(key)
      bytes += valueLength
      if (bytes < PORTION_BYTES && keys.length < PORTION) continue
      yield [namespace, keys]
      keys = []
      bytes = 0
    }
    if (keys.length > 0) yield [namespace, keys]
  }
}

/** A listing shows everything about an entry but its value. */
function listed ({ valueLength: length, version, stamp: _, storedLength: __, ...facts }: ScannedEntry): Listing['entries'][number] {
  return { ...facts, value: '', version: formatVersion(version), size: sizeOf(facts.key, { length }, facts.tags, facts.metadata) }
}
