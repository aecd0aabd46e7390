import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Cluster } from 'ioredis'
import { Analytics } from '../services/cache/analytics/analytics.js'
import { Latencies } from '../services/cache/analytics/latencies.js'
import { Sketches } from '../services/cache/analytics/sketches.js'
import { capabilities } from '../services/cache/backends/capabilities.js'
import type { Coordination } from '../services/cache/backends/coordination/coordination.js'
import { DatabaseCoordination } from '../services/cache/backends/coordination/database.js'
import { RedisCoordination } from '../services/cache/backends/coordination/redis.js'
import { DatabaseBackend } from '../services/cache/backends/database/database.js'
import { FolderInUseError, FolderSealedError, FolderUnusableError } from '../services/cache/backends/file/errors.js'
import { FileBackend } from '../services/cache/backends/file/file.js'
import { MemcachedBackend } from '../services/cache/backends/memcached/memcached.js'
import { RedisLeaseKeeper } from '../services/cache/backends/redis/lease-keeper.js'
import { RedisBackend } from '../services/cache/backends/redis/redis.js'
import type { SharedBackendName } from '../services/cache/backends/names.js'
import { observed, type Observer } from '../services/cache/backends/observed.js'
import { Cache } from '../services/cache/cache.js'
import { monotonicNow } from '../services/cache/clock.js'
import { KeyRing } from '../services/cache/codec/key-ring.js'
import type { KeySource } from '../services/cache/codec/key-source.js'
import type { Serialization } from '../services/cache/codec/serialization.js'
import { policyOf } from '../services/cache/entry.js'
import { BackendUnavailableError, UnsupportedOperationError } from '../services/cache/errors.js'
import type { Limits } from '../services/cache/limits.js'
import { type AtRest, RecordFormat } from '../services/cache/record-format.js'
import { CacheRegistry } from '../services/cache/registry.js'
import { breakerLevel } from '../services/cache/breaker.js'
import { DurableStore } from '../services/cache/stores/durable-store.js'
import { LocalStore } from '../services/cache/stores/local-store.js'
import { SharedStore, type SharedStoreOptions } from '../services/cache/stores/shared-store.js'
import type { Store, Usage } from '../services/cache/stores/store.js'
import { type OperationTimes, TimedCache, type TimedOperation } from '../services/cache/timed-cache.js'
import type { QueueState } from '../services/cache/turns.js'
import { Lately } from '../services/lately.js'
import type { Sample } from '../services/metrics.js'
import type {} from './cache-database.js'
import { durableSamples, type DurableOptions, openDurableStore } from './cache-durable.js'
import type {} from './memcached.js'
import type {} from './retry.js'
import type {} from './tracing.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The application's own cache: `app.cache.getOrSet(key, loader, options)`. Nothing outside reaches into it. */
    cache: Cache
    /** The caches that the API serves, by backend. */
    caches: CacheRegistry
    /** How entries are written outside the process, each with the backend whose settings hold, and whether the API's namespaces are in it. */
    formats: { backend: SharedBackendName, format: RecordFormat, isServed: boolean }[]
    /** What those caches are used for and how they do, by backend. */
    analytics: ReadonlyMap<Cache['backend'], Analytics>
  }
}

export interface CachePluginOptions {
  defaultBackend: Cache['backend']
  limits: Limits
  /** Whether no other process answers in the place of this one. Otherwise there is no backend `memory` or `file`. Default true. */
  isAlone?: boolean
  /** The folder of the file backend, for this process alone, with the limits that it has at the start. Undefined: there is none. */
  file?: { folder: string, sync: boolean, limits: Pick<Limits, 'maxItems' | 'maxMemory' | 'quotas'> }
  /** What stands behind the strategies write_through and write_behind of the memory backend. Absent: they are refused. */
  durable?: DurableOptions
  /** What is done to entries outside the process. Default: nothing. */
  atRest?: AtRestOptions
  /** Milliseconds that Redis and memcached have for an operation. Default 200. */
  deadline?: number
  /** Whether to measure how long the API's operations take. Default false. */
  timed?: boolean
}

export interface AtRestOptions {
  serialization: Serialization
  /** The first one writes. */
  keys?: readonly KeySource[]
  /** What is done at the start, by the backend whose settings hold. */
  of: (backend: SharedBackendName) => AtRest
}

const TIMED: TimedOperation[] = ['get', 'get_many', 'set', 'delete', 'touch', 'increment', 'list', 'invalidate']

/** The part of `max_memory` that each memory tier in front of a shared backend may take. */
const TIER_SHARE = 1 / 4

/**
 * Decorates the instance with `cache`, `caches` and `analytics`. With Redis the application's own cache has a memory tier in front of
 * it that the processes keep coherent; without, it is memory alone, and the API has no `redis` backend.
 */
export default fp<CachePluginOptions>(async function cache (app, { defaultBackend, limits: given, isAlone = true, file, durable, atRest, deadline = 200, timed = false }) {
  const now = monotonicNow()
  // Only the API's memory backend keeps entries in the durable tier.
  const limits: Limits = { ...given, strategy: policyOf(given.strategy) }
  const redis = app.redis as FastifyInstance['redis'] | undefined
  const memcached = app.memcached as FastifyInstance['memcached'] | undefined
  const connections = app.cacheDatabase as FastifyInstance['cacheDatabase'] | undefined
  const retries = app.retries as FastifyInstance['retries'] | undefined
  const breakers = app.breakers as FastifyInstance['breakers'] | undefined

  const onFault = (err: unknown): void => { app.log.error({ err }, 'The cache could not be tidied up: it is tried again later') }

  const keys = atRest?.keys === undefined ? undefined : await KeyRing.open(atRest.keys)
  const formats: FastifyInstance['formats'] = []
  /** Each has one of its own: what is sealed for one opens nowhere else. */
  const format = (backend: SharedBackendName, purpose: string): RecordFormat => {
    const applied = atRest?.of(backend)
    if (applied?.encryption === true && keys === undefined) {
      throw new Error(`The stored setting cache.${backend}.encryption_enabled is true, and there is no key: set CACHE_ENCRYPTION_KEY to what wrote the entries, or to a new key.`)
    }
    const format = new RecordFormat({
      ...applied,
      serialization: atRest?.serialization ?? 'json',
      purpose: `${backend}:${purpose}`,
      keys,
      onUnreadable: (reads) => { app.log.warn({ cache: `${backend}:${purpose}`, reads }, 'Entries were misses because they cannot be read (docs/encryption.md)') }
    })
    formats.push({ backend, format, isServed: purpose !== 'app' })
    return format
  }

  /** By the name that metrics have for the backend. */
  const queues = new Map<string, readonly QueueState[]>()
  const { tracing } = app
  const observer = (backend: SharedBackendName): Observer | undefined => tracing && (async (operation, run, outcomeOf) =>
    await tracing.operation(`cache ${operation}`, { 'larder.cache.backend': backend, 'larder.cache.operation': operation }, run, outcomeOf))

  const shared = async (plain: SharedStoreOptions['backend'], name: string = plain.name): Promise<Store> => {
    if (plain.switch !== undefined) breakers?.add(name, plain.switch)
    if (plain.queues !== undefined) queues.set(name, plain.queues)
    const observe = observer(plain.name)
    const backend = observe === undefined ? plain : observed(plain, observe)
    const store = new SharedStore({ backend, now, onFault, limits: { ...limits, maxMemory: Math.max(1, Math.floor(limits.maxMemory * TIER_SHARE)) } })
    await store.open()
    return store
  }
  // In a cluster all of one cache is in one slot, by the tag in braces: scripts change several keys at once.
  const prefixOf = (name: string): string => redis instanceof Cluster ? `{larder:${name}}` : `larder:${name}`
  const overRedis = async (name: string): Promise<Store> => await shared(new RedisBackend({
    client: app.redis,
    prefix: prefixOf(name),
    now,
    format: format('redis', name),
    retry: retries?.of('redis'),
    deadline
  }), name === 'app' ? name : undefined)
  const local = (): Store => new LocalStore({ now, limits })
  const closing = <C extends Cache> (opened: C): C => {
    app.addHook('onClose', async () => { await opened.close() })
    return opened
  }
  const analytics = new Map<Cache['backend'], Analytics>()
  const serve = (store: Store, kept = limits): Cache => {
    const sketches = new Sketches(now)
    const latencies = timed ? new Latencies(now) : undefined
    const own = capabilities[store.name].withoutLimits === undefined ? {} : { maxItems: Infinity, maxMemory: Infinity, strategy: 'lru' as const }
    const options = { store, now, limits: { ...kept, ...own }, onFault, observer: sketches }
    const served = closing(latencies === undefined ? new Cache(options) : new TimedCache(options, timesOf(store.name, latencies)))
    const observed = new Analytics({ cache: served, store, sketches, latencies })
    app.addHook('onClose', async () => { observed.close() })
    analytics.set(served.backend, observed)
    return served
  }
  const timesOf = (backend: Cache['backend'], latencies: Latencies): Record<TimedOperation, OperationTimes> => {
    const times = TIMED.map((operation) => [operation, latencies.of(operation, app.metrics.cacheOperation(backend, operation))])
    return Object.fromEntries(times) as Record<TimedOperation, OperationTimes>
  }

  /** Where the order of a backend is kept whose own server keeps none. */
  const coordinate = (name: string): Coordination | undefined => {
    if (redis !== undefined) return new RedisCoordination({ client: redis, name, prefix: prefixOf(name), now, deadline, retry: retries?.of('redis') })
    return connections === undefined ? undefined : new DatabaseCoordination({ connections, name, now })
  }

  const own = closing(new Cache({ store: redis === undefined ? local() : await overRedis('app'), now, limits, onFault, namespace: 'app' }))
  const memory = !isAlone ? undefined : durable === undefined ? new LocalStore({ now, limits: given }) : await openDurableStore(app, { ...durable, now, limits: given, format: format(durable.tier, 'durable') })
  const served = memory === undefined ? [] : [serve(memory, given)]
  if (redis !== undefined) served.push(serve(await overRedis('api')))
  if (connections !== undefined) {
    const leases = redis && new RedisLeaseKeeper({ client: redis, prefix: prefixOf('database'), deadline })
    served.push(serve(await shared(new DatabaseBackend({ connections, cache: 'api', now, limits, format: format('database', 'api'), leases, onFault }))))
  }

  if (memcached !== undefined) {
    const coordination = coordinate('memcached')
    const backend = coordination && new MemcachedBackend({ client: memcached, coordination, now, format: format('memcached', 'api'), deadline, retry: retries?.of('memcached'), onFault })
    // Its server evicts by nothing else.
    if (backend !== undefined) served.push(serve(await shared(backend), { ...limits, strategy: 'lru' }))
  }

  const refused = new Map<string, () => Error>(isAlone
    ? []
    : (['memory', 'file'] as const).map((name) => [name, () => new UnsupportedOperationError(
        `Several processes serve here (WORKERS), and each would have a ${name} backend of its own: use redis, memcached or database, which they share.`)]))
  if (file !== undefined) {
    try {
      const backend = await FileBackend.open({ ...file, now, format: format('file', 'api'), breaker: { trials: () => retries?.policy.trials }, onFault: (err) => { app.log.error({ err }, 'The files of the cache') } })
      served.push(serve(await shared(backend)))
      app.health.add('file', async () => { await backend.ping() }, { required: defaultBackend === 'file' })
    } catch (error) {
      const isTold = error instanceof FolderInUseError || error instanceof FolderUnusableError || error instanceof FolderSealedError
      if (defaultBackend === 'file' || !isTold) throw error
      app.log.warn(error.message)
      refused.set('file', () => new BackendUnavailableError(error.message))
    }
  }

  app.decorate('cache', own)
  app.decorate('formats', formats)
  app.decorate('caches', new CacheRegistry(served, defaultBackend, refused))
  app.decorate('analytics', analytics)
  app.health.add('cache', () => undefined)
  const told = [new Told('app', own), ...served.map((each) => new Told(each.backend, each))]
  app.metrics.addAsker(async () => (await Promise.all(told.map(async (each) => await each.againstLimits()))).flat())
  app.metrics.addCollector(() => [
    ...told.flatMap((each) => each.samples()),
    ...[...queues].flatMap(([backend, each]) => queueSamples(backend, each)),
    ...memory instanceof DurableStore && durable !== undefined ? durableSamples(memory, durable.bounds) : []
  ])
}, { name: 'cache', fastify: '5.x', dependencies: ['health', 'metrics'] })

function queueSamples (backend: string, queues: readonly QueueState[]): Sample[] {
  const sum = (of: (queue: QueueState) => number): number => queues.reduce((total, queue) => total + of(queue), 0)
  const away = (reason: string, value: number): Sample => ({
    name: 'larder_cache_turned_away_total', help: 'Operations that began nothing, as too many waited for the server or no turn came in time', type: 'counter', labels: { backend, reason }, value
  })
  return [
    { name: 'larder_cache_waiting', help: 'Operations that wait in this process for their turn on the server', type: 'gauge', labels: { backend }, value: sum(({ waiting }) => waiting) },
    away('full', sum(({ refused }) => refused)),
    away('late', sum(({ late }) => late))
  ]
}

/** Of each kind of thing that a cache counts: the end of its name, what it is, and how many. */
type Count = readonly [name: string, help: string, value: number]

/** One cache as the metrics tell of it; `backend` is `app` for that of the application itself. */
class Told {
  readonly #cache: Cache
  readonly #backend: string
  readonly #standing: Lately<Usage>

  constructor (backend: string, cache: Cache) {
    this.#backend = backend
    this.#cache = cache
    this.#standing = new Lately(async () => await cache.standing())
  }

  samples (): Sample[] {
    const { breaker, isTrusted, memoryUsage: { items, bytes } } = this.#cache
    const labels = { backend: this.#backend }
    return [
      this.#gauge('memory_entries', 'Entries in the memory of this process', items, 'sum'),
      this.#gauge('memory_bytes', 'Bytes that those entries count for', bytes, 'sum'),
      ...this.#cache.backend === 'memory' ? [] : [this.#gauge('memory_trusted', '1 while this process hears of what others change, 0 while it asks the backend for everything', isTrusted ? 1 : 0, 'lowest')],
      ...breaker === undefined
        ? []
        : [{ name: 'larder_breaker_state', help: 'Whether a server is left alone: 0 closed (it answers), 1 half-open, 2 open', type: 'gauge' as const, labels: { name: this.#backend }, value: breakerLevel(breaker), across: 'highest' as const }],
      ...countsOf(this.#cache).map(([name, help, value]): Sample => ({ name: `larder_cache_${name}_total`, help, type: 'counter', labels, value }))
    ]
  }

  /** Over all processes that share the backend; the application's own cache has limits in memory alone. */
  async againstLimits (): Promise<Sample[]> {
    const { backend, limits: { maxItems, maxMemory } } = this.#cache
    if (this.#backend === 'app' && backend !== 'memory') return []
    const standing = await this.#standing.look()
    return [
      ...standing === undefined
        ? []
        : [
            this.#gauge('entries', 'Entries that max_items is held against; in Redis only while it has limits', standing.items, 'highest'),
            this.#gauge('bytes', 'Bytes that max_memory is held against; in Redis only while it has limits', standing.bytes, 'highest')
          ],
      ...maxItems === Infinity ? [] : [this.#gauge('limit_entries', 'Entries that there may be: max_items', maxItems, 'highest')],
      ...maxMemory === Infinity ? [] : [this.#gauge('limit_bytes', 'Bytes that they may count for: max_memory', maxMemory, 'highest')]
    ]
  }

  #gauge (name: string, help: string, value: number, across: NonNullable<Sample['across']>): Sample {
    return { name: `larder_cache_${name}`, help, type: 'gauge', labels: { backend: this.#backend }, value, across }
  }
}

function countsOf (cache: Cache): Count[] {
  const counters = cache.counters()
  return [
    ['hits', 'Reads that were answered from the cache', counters.hits],
    ['memory_hits', 'Of the hits, those answered from this process\'s memory', counters.memoryHits],
    ['misses', 'Reads that found nothing', counters.misses],
    ['unreadable', 'Reads that found nothing because the entry was tampered with, damaged, or encrypted with a key that is gone', counters.unreadable],
    ['damaged', 'Entries whose files were damaged: they were deleted', counters.damaged],
    ['stale', 'Reads that were answered with a stale value', counters.stale],
    ['sets', 'Values written', counters.sets],
    ['deletes', 'Keys deleted', counters.deletes],
    ['invalidations', 'Invalidations by tag, by pattern, or of everything', counters.invalidations],
    ['loads', 'Loads of a value from its origin', counters.loads],
    ['load_failures', 'Loads that failed', counters.loadFailures],
    ['coalesced', 'Reads that waited for the load of another: stampedes avoided', counters.coalesced],
    ['evictions', 'Entries that gave way to others', counters.evictions],
    ['expirations', 'Entries whose time was over', counters.expirations]
  ]
}
