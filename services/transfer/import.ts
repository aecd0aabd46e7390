import { setImmediate as nextTurn } from 'node:timers/promises'
import createError from '@fastify/error'
import { capabilities } from '../cache/backends/capabilities.js'
import type { Cache } from '../cache/cache.js'
import { type Caller, throwIfGone } from '../cache/caller.js'
import { type NewEntry, sizeOf } from '../cache/entry.js'
import { inOrder } from '../cache/in-order.js'
import type { Quota } from '../cache/limits.js'
import { unreserved } from '../cache/quotas.js'
import type { ImportFormat } from './format.js'
import { faultAt, readRows, type Row } from './rows.js'
import type { Spool } from './spool.js'
import { Undo } from './undo.js'

/** A file that does not fit into the backend as a whole; nothing of it was stored. */
export const ImportDoesNotFitError = createError<[what: string]>(
  'ERR_CONTENT_TOO_LARGE', 'The file holds %s: nothing of it was stored. Raise the limit, or split the export by pattern or namespace.', 413)

/** Entries that are on their way to the backend together. */
const BATCH = 256
/** How long rows are read before others get the event loop, in milliseconds. */
const SLICE = 4

/** An entry of a file, ready to be stored. */
export interface ImportedEntry { namespace: string, key: string, entry: NewEntry }

export interface ImportOptions {
  format: ImportFormat
  /** Holds a row to what an entry may be; throws what is wrong with it. */
  check: (row: Record<string, unknown>) => ImportedEntry
  /** Once it has gone the import is broken off, and what was stored is taken back. */
  caller?: Caller | undefined
}

/**
 * Stores the entries of a file in a cache: all of them, or none when anything about the file is wrong or does not fit. It is read twice,
 * first to judge it. A TTL runs from now on.
 * @returns how many entries the file held
 * @throws InvalidInputError with the line at fault · ImportDoesNotFitError · UnsupportedOperationError · what the backend throws
 */
export async function importInto (cache: Cache, spool: Spool, { format, check, caller }: ImportOptions): Promise<number> {
  const total = await judge(cache, spool, { format, check, caller })
  throwIfGone(caller)
  // Memory takes everything that fits; what is outside the process may go away in the middle.
  const undo = cache.backend === 'memory' ? undefined : new Undo(cache, await spool.sibling())
  try {
    // What cannot be taken back is not broken off.
    await store(cache, spool, undo, { format, check, caller: undo === undefined ? undefined : caller })
  } catch (error) {
    await undo?.takeBack(error)
    throw error
  } finally {
    await undo?.close()
  }
  return total
}

async function judge (cache: Cache, spool: Spool, { format, check, caller }: ImportOptions): Promise<number> {
  const pools = new Pools(cache)
  let total = 0
  await eachRow(spool, { format, caller }, (row) => {
    const { namespace, key, entry } = checked(row, check)
    const size = sizeOf(key, entry.value, entry.tags ?? [], entry.metadata)
    const pool = pools.of(namespace)
    const { maxMemory } = pool.limits
    if (size > maxMemory) throw new ImportDoesNotFitError(`an entry of ${size} bytes at line ${row.line}, and max_memory ${pool.owner}is ${maxMemory}`)
    total++
    pool.items++
    pool.bytes += size
  })
  if (capabilities[cache.backend].noLimits !== undefined) return total
  for (const { owner, items, bytes, limits: { maxItems, maxMemory } } of pools.all()) {
    if (items > maxItems) throw new ImportDoesNotFitError(`${items} entries, and max_items ${owner}is ${maxItems}`)
    if (bytes > maxMemory) throw new ImportDoesNotFitError(`${bytes} bytes of entries, and max_memory ${owner}is ${maxMemory}`)
  }
  return total
}

interface Pool { readonly owner: string, readonly limits: Quota, items: number, bytes: number }

/** What a file brings to each namespace with a quota, and to all others together. */
class Pools {
  #cache: Cache
  #pools = new Map<string | undefined, Pool>()

  constructor (cache: Cache) { this.#cache = cache }

  of (namespace: string): Pool {
    const quota = this.#cache.limits.quotas?.get(namespace)
    const name = quota === undefined ? undefined : namespace
    let pool = this.#pools.get(name)
    if (pool === undefined) {
      pool = { owner: name === undefined ? '' : `of the namespace ${name} `, limits: quota ?? unreserved(this.#cache.limits), items: 0, bytes: 0 }
      this.#pools.set(name, pool)
    }
    return pool
  }

  all (): Iterable<Pool> { return this.#pools.values() }
}

async function store (cache: Cache, spool: Spool, undo: Undo | undefined, { format, check, caller }: ImportOptions): Promise<void> {
  let batch: ImportedEntry[] = []
  const flush = async (): Promise<void> => {
    const entries = batch
    batch = []
    throwIfGone(caller)
    await undo?.remember(entries, caller)
    throwIfGone(caller)
    await inOrder(entries, async ({ namespace, key, entry }) => { await cache.set(namespace, key, entry, undefined, caller) })
  }
  await eachRow(spool, { format, caller }, (row) => {
    batch.push(checked(row, check))
    return batch.length < BATCH ? undefined : flush()
  })
  await flush()
}

async function eachRow (spool: Spool, { format, caller }: Pick<ImportOptions, 'format' | 'caller'>, visit: (row: Row) => void | Promise<void>): Promise<void> {
  let since = performance.now()
  for await (const row of readRows(spool.read(), format)) {
    const visited = visit(row)
    if (visited !== undefined) await visited
    if (performance.now() - since > SLICE) {
      await nextTurn()
      throwIfGone(caller)
      since = performance.now()
    }
  }
}

/** The row as an entry; what is wrong with it is said with its line, whatever kind of fault it is. */
function checked (row: Row, check: ImportOptions['check']): ImportedEntry {
  try {
    return check(row.value)
  } catch (error) {
    const { statusCode, message } = error as Error & { statusCode?: number }
    if (statusCode === 400) throw faultAt(row.line, `is no entry: ${message}`)
    if (error instanceof Error && statusCode !== undefined) error.message = `Line ${row.line}: ${message}`
    throw error
  }
}
