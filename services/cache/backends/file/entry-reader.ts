import type { StoredEntry } from '../../entry.js'
import type { RecordFormat } from '../../record-format.js'
import type { ScannedEntry } from '../backend.js'
import type { Pending } from './commits.js'
import type { Contents } from './contents.js'
import { GatheredReads } from './reads.js'
import { ofKind, rowKey } from './row-keys.js'
import { type ReadRow, unpackEntry, unpackValue } from './rows.js'

/**
 * Reads entries: the rows hold what is written once, the index what changes. What the rows hold and the index does not know, or knows
 * otherwise, is damaged: a miss, reported, and deleted.
 */
export class EntryReader {
  #contents: Contents
  #format: RecordFormat
  #reads: GatheredReads

  constructor (contents: Contents, format: RecordFormat) {
    this.#contents = contents
    this.#format = format
    this.#reads = new GatheredReads(async (keys) => await contents.read(async (disk) => await disk.read(keys)))
  }

  async entry (namespace: string, key: string): Promise<StoredEntry | undefined> {
    return await this.#read(namespace, key, true, async (slot, rows) => {
      const row = this.#row(namespace, key, slot, rows.entry)
      const current = this.#current(slot)
      const value = row?.value ?? (row === undefined || rows.value === undefined ? undefined : unpackValue(rowKey('v', namespace, key), row.version, rows.value))
      if (row === undefined || value === undefined) return undefined
      const entry = await this.#format.unpack(namespace, key, row.head, 0, value)
      return entry === undefined ? undefined : { ...entry, ...current }
    })
  }

  /** Those of the keys that are there, without their values. */
  async scanned (namespace: string, keys: readonly string[]): Promise<ScannedEntry[]> {
    const found = await Promise.all(keys.map(async (key) => await this.#read(namespace, key, false, (slot, rows): ScannedEntry | undefined => {
      const row = this.#row(namespace, key, slot, rows.entry)
      const facts = row === undefined ? undefined : this.#format.facts(namespace, key, row.head, 0)
      if (row === undefined || facts === undefined || facts.isUnreadable !== undefined) return undefined
      return { ...facts, ...this.#current(slot), valueLength: row.valueLength }
    })))
    return found.filter((entry) => entry !== undefined)
  }

  /** @param unpack answers undefined for rows that are damaged, or of another version */
  async #read<T> (
    namespace: string, key: string, withValue: boolean, unpack: (slot: number, rows: Partial<Pending>) => T | undefined | Promise<T | undefined>
  ): Promise<T | undefined> {
    const contents = this.#contents
    for (;;) {
      const slot = contents.find(namespace, key)
      if (slot === -1) return undefined
      const version = contents.index.columns.versions[slot] as number
      const rows = contents.pending(namespace, key) ?? await this.#fromDisk(namespace, key, withValue && contents.index.parts(slot).apart)
      const now = contents.find(namespace, key)
      // Written or deleted meanwhile: what was read may be of before, or of after.
      if (now === -1) return undefined
      if (contents.index.columns.versions[now] !== version) continue
      const found = await unpack(now, rows)
      if (found === undefined) contents.discardDamaged(namespace, key, version)
      return found
    }
  }

  async #fromDisk (namespace: string, key: string, isApart: boolean): Promise<Partial<Pending>> {
    const entryKey = rowKey('e', namespace, key)
    const found = await this.#reads.read(isApart ? [entryKey, ofKind('v', entryKey)] : [entryKey])
    const [entry, value] = found.map((row) => row === 'damaged' ? undefined : row)
    return { ...entry === undefined ? {} : { entry }, value }
  }

  #row (namespace: string, key: string, slot: number, bytes: Buffer | undefined): ReadRow | undefined {
    const row = bytes === undefined ? undefined : unpackEntry(rowKey('e', namespace, key), bytes)
    return row?.version === this.#contents.index.columns.versions[slot] ? row : undefined
  }

  #current (slot: number): Pick<StoredEntry, 'version' | 'stamp' | 'expiresAt' | 'goneAt' | 'accessedAt' | 'accessCount'> {
    const { versions, stamps, expiresAt, goneAt, accessedAt, reads } = this.#contents.index.columns
    return {
      version: versions[slot] as number,
      stamp: stamps[slot] as number,
      expiresAt: expiresAt[slot] as number,
      goneAt: goneAt[slot] as number,
      accessedAt: accessedAt[slot] as number,
      accessCount: reads[slot] as number
    }
  }
}
