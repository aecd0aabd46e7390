import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify from 'fastify'
import cacheDatabase from '../../plugins/cache-database.js'
import health from '../../plugins/health.js'
import metrics from '../../plugins/metrics.js'
import postgres from '../../plugins/postgres.js'
import retry from '../../plugins/retry.js'
import type { Connections } from '../../services/cache/backends/database/connections.js'
import { Cache } from '../../services/cache/cache.js'
import { monotonicNow, type Now } from '../../services/cache/clock.js'
import { DEFAULT_LIMITS, type Limits } from '../../services/cache/limits.js'
import type { RecordFormat } from '../../services/cache/record-format.js'
import { DurableStore } from '../../services/cache/stores/durable-store.js'
import { DatabaseTier } from '../../services/cache/tiers/database-tier.js'
import { FileTier } from '../../services/cache/tiers/file-tier.js'
import type { DurableTier } from '../../services/cache/tiers/tier.js'
import type { QueueBounds } from '../../services/cache/writers/write-behind.js'
import { FolderLock } from '../../services/database/lock.js'
import { databaseUrl, type Owner } from './servers.js'

export interface DurableCacheOptions {
  /** Undefined: in files beside the journal. */
  connections?: Connections | undefined
  /** Of the journal; a folder of its own by default. */
  folder?: string
  now?: Now
  limits?: Partial<Limits>
  bounds?: Partial<QueueBounds>
  format?: RecordFormat
  /** What stands between the store and the tier. */
  around?: (tier: DurableTier) => DurableTier
  closeWithin?: number
}

export interface DurableCache {
  cache: Cache
  store: DurableStore
  folder: string
  /** What was reported. */
  faults: Error[]
}

/** A folder that is gone with the test. */
export function temporaryFolder (owner: Owner): string {
  const folder = mkdtempSync(join(tmpdir(), 'larder-'))
  owner.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  return folder
}

/** The way of a cache to a PostgreSQL, by default to a new database. */
export async function openConnections (owner: Owner, url?: string): Promise<Connections> {
  const app = Fastify()
  owner.teardown(() => app.close())
  await app.register(metrics, { enabled: false })
  await app.register(health, {})
  await app.register(retry)
  const address = url ?? await databaseUrl(owner)
  await app.register(postgres, { databaseUrl: address, dataDir: '', sampleData: false })
  await app.register(cacheDatabase, { databaseUrl: address })
  return app.cacheDatabase
}

/** Opens a cache over memory and a durable tier as a process does at its start: over the same folder, the next life of the same process. */
export async function openDurableCache (
  owner: Owner, { connections, folder = temporaryFolder(owner), now = monotonicNow(), bounds, around = (tier) => tier, format, closeWithin, ...options }: DurableCacheOptions = {}
): Promise<DurableCache> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const faults: Error[] = []
  const onFault = (error: unknown): void => { faults.push(error as Error) }
  const how = format === undefined ? {} : { format }
  const store = new DurableStore({
    now,
    limits,
    folder: join(folder, 'journal'),
    lock: async (path) => await FolderLock.acquire(path, 'journal'),
    tier: async (space) => around(connections === undefined
      ? await FileTier.open({ folder: join(folder, 'durable'), space, now, onFault, ...how })
      : new DatabaseTier({ connections, space, now, ...how })),
    bounds: { maxEntries: 100_000, maxBytes: 64 * 1024 * 1024, ...bounds },
    onFault,
    ...how,
    ...closeWithin === undefined ? {} : { closeWithin }
  })
  await store.open()
  const cache = new Cache({ store, now, limits })
  owner.teardown(() => cache.close())
  return { cache, store, folder, faults }
}
