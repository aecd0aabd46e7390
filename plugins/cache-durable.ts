import type { FastifyInstance } from 'fastify'
import { FolderInUseError, FolderUnusableError } from '../services/cache/backends/file/errors.js'
import type { Now } from '../services/cache/clock.js'
import { BackendUnavailableError } from '../services/cache/errors.js'
import type { Limits } from '../services/cache/limits.js'
import type { RecordFormat } from '../services/cache/record-format.js'
import { DurableStore } from '../services/cache/stores/durable-store.js'
import { DatabaseTier } from '../services/cache/tiers/database-tier.js'
import { FileTier, type FileTierOptions } from '../services/cache/tiers/file-tier.js'
import type { DurableTier, DurableTierName } from '../services/cache/tiers/tier.js'
import type { QueueBounds } from '../services/cache/writers/write-behind.js'
import { DataDirLockedError } from '../services/database/errors.js'
import { FolderLock } from '../services/database/lock.js'
import type { Sample } from '../services/metrics.js'
import type {} from './cache-database.js'

export interface DurableOptions {
  /** Of the journal: one process at a time keeps it. */
  folder: string
  tier: DurableTierName
  /** Of the tier `file`. */
  files: string
  bounds: QueueBounds
}

interface OpeningOptions extends DurableOptions {
  now: Now
  limits: Limits
  /** How the journal and the tier write entries. Default: as they are. */
  format?: RecordFormat
}

/** The store of the API's memory backend, with what an earlier life of the process has left. */
export async function openDurableStore (app: FastifyInstance, { folder, tier, files, bounds, now, limits, format }: OpeningOptions): Promise<DurableStore> {
  const how = format === undefined ? {} : { format }
  const connections = app.cacheDatabase as FastifyInstance['cacheDatabase'] | undefined
  const onFault = (err: unknown): void => { app.log.error({ err }, 'write_through and write_behind') }
  const open = async (space: string): Promise<DurableTier> => {
    if (tier === 'file') {
      const durable = await openFiles({ folder: files, space, now, onFault, breaker: { trials: () => app.retries.policy.trials }, ...how })
      app.breakers.add('memory', durable.switch)
      return durable
    }
    if (connections === undefined) throw new BackendUnavailableError('There is no database for write_through and write_behind.')
    const durable = new DatabaseTier({ connections, space, now, ...how })
    app.breakers.add('memory', durable.switch)
    return durable
  }
  const onTakenUp = (): void => { app.log.info('The journal of write_through and write_behind is there: what was left in it has been taken up') }
  const store = new DurableStore({ now, limits, folder, lock: lockJournal, tier: open, bounds, onFault, onTakenUp, ...how })
  await store.open()
  // Never required: who takes the place of another may only get the journal when that one ends, and that may wait for this one to be ready.
  app.health.add('journal', () => { if (store.refusal !== undefined) throw store.refusal }, { required: false })
  return store
}

/** For the metrics; nothing before the first durable entry. */
export function durableSamples ({ durability }: DurableStore, { maxEntries, maxBytes }: QueueBounds): Sample[] {
  if (durability === undefined) return []
  const { length, bytes, oldestAge, flushes, flushed, retries, setAside, journalBytes, sweeps, damaged } = durability
  const labels = { backend: 'memory' }
  const sample = (type: Sample['type'], name: string, help: string, value: number): Sample =>
    ({ name: `larder_cache_write_behind_${name}`, help, type, labels, value })
  return [
    sample('gauge', 'queue_entries', 'Keys that wait for the durable tier', length),
    sample('gauge', 'queue_bytes', 'Bytes of their entries', bytes),
    sample('gauge', 'queue_limit_entries', 'Keys that may wait', maxEntries),
    sample('gauge', 'queue_limit_bytes', 'Bytes of entries that may wait', maxBytes),
    { ...sample('gauge', 'queue_age_seconds', 'For how long the oldest of them has waited', oldestAge / 1000), across: 'highest' },
    sample('gauge', 'journal_bytes', 'Bytes of the journal', journalBytes),
    sample('gauge', 'sweeps', 'Invalidations that the durable tier has yet to be swept for', sweeps),
    sample('counter', 'flushes_total', 'Batches written to the durable tier', flushes),
    sample('counter', 'flushed_total', 'Changes written to the durable tier', flushed),
    sample('counter', 'retries_total', 'Writes to the durable tier that were tried again', retries),
    sample('counter', 'set_aside_total', 'Changes that the durable tier kept refusing', setAside),
    sample('counter', 'damaged_total', 'Stretches of the journal that could not be read', damaged)
  ]
}

async function openFiles (options: FileTierOptions): Promise<FileTier> {
  try {
    return await FileTier.open(options)
  } catch (error) {
    if (error instanceof FolderInUseError || error instanceof FolderUnusableError) throw new BackendUnavailableError(error.message)
    throw error
  }
}

async function lockJournal (folder: string): Promise<FolderLock> {
  try {
    return await FolderLock.acquire(folder, 'journal', refusal)
  } catch (error) {
    if (error instanceof DataDirLockedError) throw new BackendUnavailableError(error.message)
    throw error
  }
}

function refusal (folder: string, holder: string): string {
  return `The journal of write_through and write_behind in ${folder} is kept by another Larder (${holder}), and takes one process at a time. ` +
    'It is tried again until that one ends; where both are to run, give this one a DATA_DIR of its own, or use the redis or database backend, which processes share.'
}
