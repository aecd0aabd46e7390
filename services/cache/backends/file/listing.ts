import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Now } from '../../clock.js'
import type { Drawn, Outline, Page, PageQuery, ScannedEntry } from '../backend.js'
import type { Contents } from './contents.js'
import type { Space } from './entry-index.js'
import type { EntryReader } from './entry-reader.js'
import { cursorAt, keyIn, rangeOf, rowAt } from './row-keys.js'

/** Entries in a portion. */
const PAGE = 500
/** How long a pass over the index runs before it lets others have the event loop, in milliseconds. */
const SLICE = 4

/** Goes through what there is: see `SharedBackend`. */
export class Listing {
  #contents: Contents
  #reader: EntryReader
  #now: Now

  constructor (contents: Contents, reader: EntryReader, now: Now) {
    this.#contents = contents
    this.#reader = reader
    this.#now = now
  }

  async * scan (namespace: string | undefined): AsyncIterable<ScannedEntry[]> {
    for (const { name, index } of this.#spaces(namespace)) {
      let keys: string[] = []
      // Goes on with what is added meanwhile; what is overwritten keeps its place.
      for (const key of index.keys()) {
        keys.push(key)
        if (keys.length < PAGE) continue
        yield await this.#reader.scanned(name, keys)
        keys = []
      }
      if (keys.length > 0) yield await this.#reader.scanned(name, keys)
    }
  }

  async * outline (namespace: string | undefined): AsyncIterable<Outline[]> {
    let until = performance.now() + SLICE
    let outlines: Outline[] = []
    for (const { name, index } of this.#spaces(namespace)) {
      for (const [key, slot] of index) {
        outlines.push(this.#contents.index.outline(name, key, slot))
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

  /** By the index, which is all in memory; only those that are drawn are read. */
  async sample (namespace: string | undefined, most: number): Promise<Drawn> {
    const drawn: Outline[] = []
    let items = 0
    let bytes = 0
    for await (const outlines of this.outline(namespace)) {
      for (const outline of outlines) {
        bytes += outline.size
        // Algorithm R: each that has come is among those drawn with the same probability.
        const at = items++ < most ? items - 1 : Math.floor(Math.random() * items)
        if (at < most) drawn[at] = outline
      }
    }
    const entries: ScannedEntry[] = []
    for (const name of new Set(drawn.map(({ namespace }) => namespace))) {
      const keys = drawn.filter((each) => each.namespace === name).map(({ key }) => key)
      for (let at = 0; at < keys.length; at += PAGE) entries.push(...await this.#reader.scanned(name, keys.slice(at, at + PAGE)))
    }
    return { entries, items, bytes }
  }

  async page (namespace: string, { matches, isVisible, limit, offset, cursor }: PageQuery): Promise<Page> {
    const contents = this.#contents
    const isMeant = (entry: Outline): boolean => entry.goneAt > this.#now() && matches(entry.key) && isVisible(entry)
    let total = 0
    for await (const outlines of this.outline(namespace)) for (const outline of outlines) if (isMeant(outline)) total++
    const keys: string[] = []
    let passed = 0
    for await (const key of this.#keysAfter(namespace, cursor)) {
      const slot = contents.find(namespace, key)
      if (slot === -1 || !isMeant(contents.index.outline(namespace, key, slot)) || passed++ < offset) continue
      keys.push(key)
      if (keys.length > limit) break
    }
    const hasMore = keys.length > limit
    if (hasMore) keys.pop()
    const entries = await this.#reader.scanned(namespace, keys)
    return { total, entries: entries.filter(isVisible), cursor: hasMore ? cursorAt(keys.at(-1) as string) : undefined }
  }

  #spaces (namespace: string | undefined): Space[] {
    const { index } = this.#contents
    if (namespace === undefined) return [...index.spaces()]
    const space = index.space(namespace)
    return space === undefined ? [] : [space]
  }

  /** The keys of a namespace in the order of the store, from behind the cursor on. */
  async * #keysAfter (namespace: string, cursor: string | undefined): AsyncGenerator<string> {
    const range = rangeOf('e', namespace)
    let after: Buffer | undefined = cursor === undefined ? undefined : rowAt(namespace, cursor)
    for (;;) {
      const rows = await this.#contents.read(async (disk) => await disk.keys(range, after, PAGE))
      for (const row of rows) yield keyIn(row)
      if (rows.length < PAGE) return
      after = rows.at(-1)
    }
  }
}
