import { sizeOf } from '../../entry.js'
import { ENCRYPTION } from '../../codec/seal.js'
import { nameOf } from '../../in-flight.js'
import { appliedTo } from '../../record.js'
import type { RecordFormat } from '../../record-format.js'
import { invalidationOf } from '../invalidation-fields.js'
import type { Disk, RowChange } from './disk.js'
import { EntryIndex, type IndexOptions } from './entry-index.js'
import { FolderSealedError } from './errors.js'
import { invalidationKey, namesIn, ofKind, rangeOf } from './row-keys.js'
import { packNumber, unpackAmendment, unpackEntry, unpackNumber } from './rows.js'
import { rowsOf } from './removal.js'
import { Invalidations, type Tallied, Tallies } from './tallies.js'

export interface LoadOptions extends IndexOptions { format: RecordFormat, folder: string }

/** What a store holds. */
export interface Loaded {
  index: EntryIndex
  /** By the field that each is kept under. */
  inForce: Invalidations
  /** What `index` and `inForce` count into. */
  tallies: Tallies
  /** The highest stamp in it. */
  stamp: number
  /** Rows that are to go, of entries whose time is over, that the limits have no room for, or that are damaged; and rows under a new key. */
  waste: RowChange[]
  /** Entries that are as they were written, and cannot be read any more. */
  unreadable: Map<string, Tallied>
  /** The namespaces of entries and of what changed of them that could not be read; '' where not even that can be told. */
  damaged: string[]
}

/** Reads everything but the large values. @throws FolderSealedError when that takes a key, and there is none */
export async function load (disk: Disk, options: LoadOptions): Promise<Loaded> {
  const index = new EntryIndex(options)
  const tallies = new Tallies()
  const loaded: Loaded = { index, inForce: new Invalidations(tallies), tallies, stamp: 0, waste: [], unreadable: new Map(), damaged: [] }
  await loadEntries(disk, loaded, options)
  await loadAmendments(disk, loaded)
  await loadInvalidations(disk, loaded)
  await tally(disk, loaded)
  for (const removed of index.restored()) loaded.waste.push(...rowsOf(removed))
  return loaded
}

async function loadEntries (disk: Disk, loaded: Loaded, { format, folder }: LoadOptions): Promise<void> {
  for await (const rows of disk.rows(rangeOf('e'))) {
    for (const [rowKey, bytes] of rows) {
      const names = namesIn(rowKey)
      const row = names === undefined ? undefined : unpackEntry(rowKey, bytes)
      const found = names === undefined || row === undefined ? undefined : format.facts(names.namespace, names.key, row.head, 0)
      // What cannot be read now never will be: the keys are those of this process's life.
      const facts = found?.isUnreadable === true ? undefined : found
      if (facts === undefined && row !== undefined && !format.hasKeys && appliedTo(row.head).encryption !== ENCRYPTION.none) throw new FolderSealedError(folder)
      if (names === undefined || row === undefined || facts === undefined) {
        loaded.damaged.push(names?.namespace ?? '')
        if (names !== undefined && row !== undefined) loaded.unreadable.set(nameOf(names.namespace, names.key), { ...names, ...row })
        for (const kind of ['e', 'v', 'a'] as const) loaded.waste.push({ type: 'del', key: ofKind(kind, rowKey) })
        continue
      }
      const { tags, metadata } = facts
      loaded.stamp = Math.max(loaded.stamp, row.order, row.stamp)
      loaded.index.load({
        ...row, ...names, tags, size: sizeOf(names.key, { length: row.valueLength }, tags, metadata), apart: row.value === undefined
      })
    }
  }
}

async function loadAmendments (disk: Disk, { index, waste, unreadable, damaged }: Loaded): Promise<void> {
  for await (const rows of disk.rows(rangeOf('a'))) {
    for (const [rowKey, bytes] of rows) {
      const names = namesIn(rowKey)
      const amendment = unpackAmendment(rowKey, bytes)
      const isUsed = names !== undefined && amendment !== undefined && index.amend(names.namespace, names.key, amendment)
      const unread = names === undefined ? undefined : unreadable.get(nameOf(names.namespace, names.key))
      if (unread !== undefined && unread.version === amendment?.version) unreadable.set(nameOf(unread.namespace, unread.key), { ...unread, ...amendment })
      if (amendment === undefined) {
        damaged.push(names?.namespace ?? '')
        // It may have ended the entry's time.
        if (names !== undefined) index.end(names.namespace, names.key)
      }
      if (!isUsed) waste.push({ type: 'del', key: rowKey })
    }
  }
}

/** Comes last: an invalidation whose stamp is damaged concerns everything that is there. */
async function loadInvalidations (disk: Disk, loaded: Loaded): Promise<void> {
  for (const kind of ['i', 'z'] as const) await loadInvalidationsOf(kind, disk, loaded)
}

async function loadInvalidationsOf (kind: 'i' | 'z', disk: Disk, loaded: Loaded): Promise<void> {
  for await (const rows of disk.rows(rangeOf(kind))) {
    for (const [rowKey, bytes] of rows) {
      const field = rowKey.toString('utf8', 1)
      const stamp = unpackNumber(rowKey, bytes)
      const inForce = invalidationOf(field, stamp ?? loaded.stamp + 1)
      if (stamp === undefined) loaded.damaged.push('')
      if (inForce === undefined) {
        loaded.waste.push({ type: 'del', key: rowKey })
        continue
      }
      loaded.inForce.set(field, inForce)
      loaded.stamp = Math.max(loaded.stamp, inForce.stamp)
      if (kind === 'z') continue
      const key = invalidationKey(field)
      loaded.waste.push({ type: 'del', key: rowKey }, { type: 'put', key, value: packNumber(key, inForce.stamp) })
    }
  }
}

/**
 * Entries of which some were lost, or are older than they were, go with all those that they are tallied with; all of them where that is so
 * of an invalidation.
 */
async function tally (disk: Disk, { index, tallies, unreadable, damaged }: Loaded): Promise<void> {
  index.countInto(tallies)
  for (const entry of unreadable.values()) tallies.entry(entry, 1)
  const { isWrong, count, invalidations } = await tallies.check(disk)
  for (const entry of unreadable.values()) tallies.entry(entry, -1)
  if (count === 0) return
  const before = damaged.length
  for (const space of index.spaces()) {
    for (const key of space.index.keys()) {
      if (!invalidations && !isWrong(space.name, key)) continue
      index.end(space.name, key)
      damaged.push(space.name)
    }
  }
  // What was lost is nobody's now.
  if (damaged.length === before) damaged.push('')
}
