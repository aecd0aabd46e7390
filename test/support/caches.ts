import Fastify, { type FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import cacheDatabase from '../../plugins/cache-database.js'
import health from '../../plugins/health.js'
import metrics from '../../plugins/metrics.js'
import postgres from '../../plugins/postgres.js'
import retry from '../../plugins/retry.js'
import type { SharedBackend } from '../../services/cache/backends/backend.js'
import type { Coordination } from '../../services/cache/backends/coordination/coordination.js'
import { DatabaseCoordination } from '../../services/cache/backends/coordination/database.js'
import { RedisCoordination } from '../../services/cache/backends/coordination/redis.js'
import { DatabaseBackend } from '../../services/cache/backends/database/database.js'
import { FileBackend, type FileOptions } from '../../services/cache/backends/file/file.js'
import { MemcachedClient } from '../../services/cache/backends/memcached/client.js'
import { MemcachedBackend } from '../../services/cache/backends/memcached/memcached.js'
import { RedisBackend } from '../../services/cache/backends/redis/redis.js'
import { Cache } from '../../services/cache/cache.js'
import { monotonicNow } from '../../services/cache/clock.js'
import { DEFAULT_LIMITS, type Limits } from '../../services/cache/limits.js'
import type { RecordFormat } from '../../services/cache/record-format.js'
import type { Retry } from '../../services/cache/retry.js'
import { SharedStore } from '../../services/cache/stores/shared-store.js'
import { databaseUrl, memcachedUrl, type Owner, redisUrl } from './servers.js'

export interface SharedCacheOptions {
  now?: () => number
  limits?: Partial<Limits>
  retireAfter?: number
  onFault?: (error: unknown) => void
  /** Milliseconds that an operation on Redis may take; for tests that are about something else than its outages. */
  deadline?: number
  format?: RecordFormat
  /** Tries again what failed for a passing reason. Default: nothing is tried again. */
  retry?: Retry
  /** Consecutive outages after which Redis is left alone. */
  breakAfter?: number
}

export interface SharedCache {
  cache: Cache
  store: SharedStore
  backend: RedisBackend
  client: Redis
}

/** A cache over Redis with connections of its own: two of them are to each other what two processes are. */
export async function openSharedCache (owner: Owner, url: string, options: SharedCacheOptions = {}): Promise<SharedCache> {
  const { now = monotonicNow(), retireAfter } = options
  const fault = options.onFault === undefined ? {} : { onFault: options.onFault }
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const client = await openRedis(url, options.deadline)
  const { deadline, format, retry, breakAfter } = options
  const backend = new RedisBackend({ client, prefix: 'larder:test', now, ...deadline === undefined ? {} : { deadline }, ...format === undefined ? {} : { format }, retry, ...breakAfter === undefined ? {} : { breakAfter } })
  const store = new SharedStore({ backend, now, limits, ...retireAfter === undefined ? {} : { retireAfter }, ...fault })
  await store.open()
  const cache = new Cache({ store, now, limits, ...fault })
  owner.teardown(async () => {
    await cache.close()
    client.disconnect()
  })
  return { cache, store, backend, client }
}

/** A client as the service has it. */
async function openRedis (url: string, deadline = 0): Promise<Redis> {
  const client = new Redis(url, {
    commandTimeout: Math.max(1000, deadline),
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    enableAutoPipelining: true,
    retryStrategy: () => 20
  })
  client.on('error', () => {}) // outages are what some of these tests are about
  await new Promise((resolve) => client.once('ready', resolve))
  return client
}

/** A cache over some shared backend. */
export interface OpenedCache<Backend extends SharedBackend = SharedBackend> { cache: Cache, store: SharedStore, backend: Backend }
export type OpenCache<Backend extends SharedBackend = SharedBackend> = (owner: Owner, options?: SharedCacheOptions) => Promise<OpenedCache<Backend>>

/** Opens caches over one PostgreSQL, by default a new database, each with connections of its own. An empty URL is the embedded one in `dataDir`. */
export async function startDatabaseCaches (owner: Owner, url?: string, dataDir = ''): Promise<OpenCache<DatabaseBackend>> {
  const address = url ?? await databaseUrl(owner)
  return async (owner, { now = monotonicNow(), retireAfter, onFault, ...options } = {}) => {
    const app = Fastify()
    owner.teardown(() => app.close())
    const database = address === '' ? undefined : address
    await app.register(metrics, { enabled: false })
    await app.register(health, {})
    await app.register(retry)
    await app.register(postgres, { databaseUrl: database, dataDir, sampleData: false })
    await app.register(cacheDatabase, { databaseUrl: database })
    const limits = { ...DEFAULT_LIMITS, ...options.limits }
    const fault = onFault === undefined ? {} : { onFault }
    const backend = new DatabaseBackend({ connections: app.cacheDatabase, cache: 'test', now, limits, ...options.format === undefined ? {} : { format: options.format } })
    const store = new SharedStore({ backend, now, limits: { ...limits, maxItems: DEFAULT_LIMITS.maxItems }, ...retireAfter === undefined ? {} : { retireAfter }, ...fault })
    await store.open()
    const cache = new Cache({ store, now, limits, ...fault })
    app.addHook('onClose', async () => { await cache.close() })
    return { cache, store, backend }
  }
}

/** A cache over the files in a folder; the only one there may be at a time. */
export async function openFileCache (
  owner: Owner, folder: string, { now = monotonicNow(), retireAfter, onFault, ...options }: SharedCacheOptions = {}, file: Partial<FileOptions> = {}
): Promise<OpenedCache<FileBackend>> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const fault = onFault === undefined ? {} : { onFault }
  const backend = await FileBackend.open({ folder, now, limits, ...fault, ...file })
  const store = new SharedStore({ backend, now, limits: { ...limits, maxItems: DEFAULT_LIMITS.maxItems }, ...retireAfter === undefined ? {} : { retireAfter }, ...fault })
  await store.open()
  const cache = new Cache({ store, now, limits, ...fault })
  owner.teardown(async () => { await cache.close() })
  return { cache, store, backend }
}

export interface MemcachedCachesOptions {
  /** Where the order of changes is kept: a Redis, or a PostgreSQL; by default a new Redis. An empty database URL is the embedded one. */
  over: { redis: string } | { database: string, dataDir?: string }
  /** Of memcached; by default a new one. */
  url: string
}

/** Opens caches over one memcached, each with connections of its own. */
export async function startMemcachedCaches (owner: Owner, options: Partial<MemcachedCachesOptions> = {}): Promise<OpenCache<MemcachedBackend>> {
  const url = options.url ?? await memcachedUrl(owner)
  const over = options.over ?? { redis: await redisUrl(owner) }
  return async (owner, { now = monotonicNow(), retireAfter, onFault, limits, deadline, retry } = {}) => {
    const app = Fastify()
    owner.teardown(() => app.close())
    const coordination = await openCoordination(app, over, now, deadline, retry)
    const client = new MemcachedClient({ url, ...deadline === undefined ? {} : { patience: 2 * deadline } })
    app.addHook('onClose', async () => { client.close() })
    await client.ready(2000)
    const fault = onFault === undefined ? {} : { onFault }
    const backend = new MemcachedBackend({ client, coordination, now, retry, ...deadline === undefined ? {} : { deadline }, ...fault })
    const all = { ...DEFAULT_LIMITS, ...limits }
    const store = new SharedStore({ backend, now, limits: all, ...retireAfter === undefined ? {} : { retireAfter }, ...fault })
    await store.open()
    const cache = new Cache({ store, now, limits: all, ...fault })
    app.addHook('onClose', async () => { await cache.close() })
    return { cache, store, backend }
  }
}

async function openCoordination (app: FastifyInstance, over: MemcachedCachesOptions['over'], now: () => number, deadline?: number, retries?: Retry): Promise<Coordination> {
  if ('redis' in over) {
    const redis = await openRedis(over.redis, deadline)
    app.addHook('onClose', async () => { redis.disconnect() })
    return new RedisCoordination({ client: redis, name: 'memcached', prefix: 'larder:test', now, retry: retries, ...deadline === undefined ? {} : { deadline } })
  }
  const databaseUrl = over.database === '' ? undefined : over.database
  await app.register(metrics, { enabled: false })
  await app.register(health, {})
  await app.register(retry)
  await app.register(postgres, { databaseUrl, dataDir: over.dataDir ?? '', sampleData: false })
  await app.register(cacheDatabase, { databaseUrl })
  return new DatabaseCoordination({ connections: app.cacheDatabase, name: 'memcached', now })
}

/**
 * Resolves once `holds` answers true, rejects when it has not after `within` milliseconds. They are many times what it takes: a machine
 * that others use as well stands still for a second now and then, and who waits for what comes loses nothing by waiting longer for what does not.
 */
export async function eventually (holds: () => Promise<boolean> | boolean, what: string, within = 15_000): Promise<void> {
  const until = Date.now() + within
  while (!await holds()) {
    if (Date.now() > until) throw new Error(`Not within ${within} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
