import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { CacheQuery } from '../../schemas/cache.js'
import {
  CacheConfigChanges, CacheConfigReply, CacheKeysReply, CacheStatisticsReply, ConfigQuery, KeysQuery,
  type CacheConfig, type CacheQuota, type CacheKey, type CacheStatistics
} from '../../schemas/cache-administration.js'
import { problems, ref } from '../../schemas/common.js'
import { checkCacheAccess, keysWithin, namespacesOf, seesCache, seesWhole } from '../../services/access/access.js'
import { type Principal, seesAll, seesNamespace } from '../../services/access/principal.js'
import { secondsLeft, secondsOfGrace } from '../../services/cache-item.js'
import { capabilities, checkLimit, checkNamespaceLimits, checkStrategy, checkUnlimited } from '../../services/cache/backends/capabilities.js'
import type { Cache, CacheStatistics as RawStatistics } from '../../services/cache/cache.js'
import type { Entry } from '../../services/cache/entry.js'
import { UnsupportedOperationError } from '../../services/cache/errors.js'
import { entriesOf, type SettingChanges } from '../../services/config-store.js'
import { InvalidInputError } from '../../services/errors.js'
import { isoTime } from '../../services/iso-time.js'
import { checkPattern } from '../../services/names.js'
import { builtStrategy } from '../../services/new-entry.js'
import { quotaChange, type QuotaChanges } from '../../services/quotas.js'
import type {} from '../../plugins/config-store.js'
import type {} from '../../plugins/deadlines.js'
import type {} from '../../plugins/together.js'
import { NO_CACHE } from './answers.js'
import { OPEN, SealedCursors } from '../../services/access/sealed-cursors.js'
import { agree, cacheOf, DEFAULT_NAMESPACE, EMPTY_NAMESPACE } from './place.js'

const tags = ['Cache']

/** What there is in the caches, how they do, and how they are set up. */
const administration: FastifyPluginAsyncTypebox = async (app) => {
  const { caches, configStore, together } = app
  const sealed = new SealedCursors()

  app.get('/keys', {
    config: { scope: 'cache:read', priority: 'bulk', touches: 'handler' },
    schema: {
      operationId: 'listCacheKeys',
      summary: 'List keys',
      description: 'Lists the entries whose key matches, without their values. `next_cursor`, and the Link header, lead to the next page.',
      tags,
      querystring: KeysQuery,
      response: { 200: ref(CacheKeysReply), ...problems(400, 422, 503) }
    }
  }, async ({ query, principal }, reply) => {
    const { pattern, limit = 100, offset = 0, cursor, backend, namespace = DEFAULT_NAMESPACE } = query
    if (pattern !== undefined) checkPattern(pattern)
    if (cursor !== undefined && offset > 0) throw new InvalidInputError('A cursor already says where to go on: leave offset out.')
    const cache = cacheOf(caches, backend)
    // A place in memory tells how much there is besides; elsewhere it is a key that the caller has been told of, and good in every process.
    const cursors = seesAll(principal) || cache.backend !== 'memory' ? OPEN : sealed.of(principal.id)
    const asked = { limit, offset, pattern, cursor: cursor === undefined ? undefined : cursors.open(cursor), within: keysWithin(principal, namespace) }
    const { total, entries, cursor: place } = await cache.list(seesNamespace(principal, namespace) ? namespace : EMPTY_NAMESPACE, asked, reply)
    const next = place === undefined ? undefined : cursors.seal(place)
    void reply.header('cache-control', NO_CACHE)
    if (next !== undefined) {
      // Every part is percent-encoded: a pattern may hold what a header cannot.
      const more = new URLSearchParams({ limit: String(limit), cursor: next })
      for (const name of ['pattern', 'backend', 'namespace'] as const) {
        if (query[name] !== undefined) more.set(name, query[name])
      }
      void reply.header('link', `<${app.prefix}/keys?${more.toString()}>; rel="next"`)
    }
    const { now } = cache
    return {
      success: true as const,
      total_keys: total,
      limit,
      offset,
      keys: entries.map((entry) => keyOf(entry, now)),
      ...(next === undefined ? {} : { next_cursor: next })
    }
  })

  app.get('/stats', {
    config: { scope: 'cache:read', touches: 'handler' },
    schema: {
      operationId: 'getCacheStatistics',
      summary: 'Show the statistics of a backend',
      description: 'Without a namespace, of all namespaces together that the caller has a right to. Counts begin at the start, ' +
        'and are those of all processes that serve together (`WORKERS`). In a namespace of more than ' +
        'ten thousand entries the totals include those that have expired and that no sweep has met since.',
      tags,
      querystring: CacheQuery,
      response: { 200: ref(CacheStatisticsReply), ...problems(400, 422, 503) }
    }
  }, async ({ query: { backend, namespace }, principal }, reply) => {
    const cache = cacheOf(caches, backend)
    const { statistics: raw, breaker } = await together.statistics(cache, namespacesFor(principal, namespace), reply)
    void reply.header('cache-control', NO_CACHE)
    return {
      success: true as const,
      statistics: statisticsOf(cache, raw),
      config: configOf(cache, namespace === undefined ? undefined : visible(principal, namespace)),
      ...(namespace === undefined ? {} : { quota: quotaOf(cache, visible(principal, namespace)) }),
      raw_stats: { ...numbersIn(raw), ...(breaker === undefined ? {} : { breaker_state: breaker }) }
    }
  })

  app.get('/config', {
    config: { scope: 'config:read' },
    schema: {
      operationId: 'getCacheConfig',
      summary: 'Show how the backends are set up',
      description: '`config` is that of the backend named, or of the default one; `backends` has them all. With a namespace, `quota` is what is ' +
        'reserved for it there, and `config` has what it has of its own.',
      tags,
      querystring: ConfigQuery,
      response: { 200: ref(CacheConfigReply), ...problems(400, 422, 503) }
    }
  }, async ({ query, principal }, reply) => {
    const cache = cacheOf(caches, query.backend)
    void reply.header('cache-control', NO_CACHE)
    return configReply(cache, query.namespace, principal)
  })

  app.post('/config', {
    config: { scope: 'config:write', audit: 'cache.config' },
    schema: {
      operationId: 'changeCacheConfig',
      summary: 'Change how a backend is set up',
      description: 'Takes effect at once and is kept. Nothing that is cached is lost, but for what a new limit has no room for; the answer comes ' +
        'when that is gone. With a namespace (`default` too), `max_items` and `max_memory` are its quota: reserved for it, ' +
        'and its own entries make room for each other alone. What all quotas leave is for the other namespaces together. Null for both takes it away. ' +
        '`default_ttl`, `strategy`, `compression_enabled` and `encryption_enabled` hold for that namespace alone then; `DELETE /config/cache.memory.default_ttl?namespace=` takes one back.',
      tags,
      querystring: ConfigQuery,
      body: ref(CacheConfigChanges),
      response: { 200: ref(CacheConfigReply), ...problems(400, 422, 503) }
    }
  }, async (request) => {
    const { query, body, principal } = request
    const { backend, namespace } = agree(query, body)
    const cache = cacheOf(caches, backend)
    // Of what one namespace reserves, the others have less.
    checkCacheAccess(principal)
    if (Object.keys(body).every((name) => name === 'backend' || name === 'namespace')) {
      throw new InvalidInputError('The body names nothing to change: give one of the settings of GET /api/cache/config, such as {"max_items": 5000}.')
    }
    if (namespace !== undefined) {
      const { max_items: maxItems, max_memory: maxMemory, ...others } = body
      const quota = quotaChanges(maxItems, maxMemory)
      if (quota !== undefined) checkNamespaceLimits(cache.backend)
      const own = entriesOf(settingsFor(cache, others), namespace)
      await configStore.update(
        (settings) => [...quota === undefined ? [] : entriesOf(quotaChange(settings, cache.backend, namespace, quota)), ...own], principal.id, request.recording())
    } else {
      const changes = settingsFor(cache, body)
      if (Object.keys(changes).length > 0) await configStore.put(changes, principal.id, request.recording())
    }
    await cache.settled()
    return configReply(cache, namespace, principal)
  })

  function configReply (cache: Cache, namespace: string | undefined, principal: Principal) {
    const backends = Object.fromEntries(caches.all().map((each) => [each.backend, configOf(each)]))
    if (namespace === undefined) return { success: true as const, config: configOf(cache), backends }
    const reply = { success: true as const, config: configOf(cache, visible(principal, namespace)), backends }
    return { ...reply, namespace, quota: quotaOf(cache, visible(principal, namespace)) }
  }
}

/** The namespace, or one without entries for those who do not see all of it. */
const visible = (principal: Principal, namespace: string): string => seesWhole(principal, namespace) ? namespace : EMPTY_NAMESPACE

/** One namespace, or all that the principal has a right to; undefined for every one. */
function namespacesFor (principal: Principal, namespace: string | undefined): string[] | undefined {
  if (namespace !== undefined) return [visible(principal, namespace)]
  if (seesCache(principal)) return undefined
  return [EMPTY_NAMESPACE, ...(namespacesOf(principal) ?? []).filter((name) => seesWhole(principal, name))]
}

function keyOf (entry: Entry, now: number): CacheKey {
  const grace = secondsOfGrace(entry)
  return {
    key: entry.key,
    data_type: entry.dataType,
    size: entry.size,
    ttl: secondsLeft(entry.expiresAt, now),
    ...(grace !== undefined && { grace }),
    created_at: isoTime(entry.createdAt),
    access_count: entry.accessCount,
    last_accessed: isoTime(entry.accessedAt),
    strategy: entry.strategy,
    version: entry.version
  }
}

function statisticsOf (cache: Cache, raw: RawStatistics): CacheStatistics {
  const reads = raw.hits + raw.misses
  const percent = (part: number): number => reads === 0 ? 0 : part / reads * 100
  return {
    total_items: raw.items,
    total_memory_usage: raw.bytes,
    hit_rate: percent(raw.hits),
    miss_rate: percent(raw.misses),
    eviction_count: raw.evictions,
    backend: cache.backend,
    strategy: cache.limits.strategy,
    hits: raw.hits,
    misses: raw.misses,
    sets: raw.sets,
    deletes: raw.deletes,
    expirations: raw.expirations
  }
}

/** With a namespace, what it has of its own stands in place of what holds for all. */
function configOf (cache: Cache, namespace?: string): CacheConfig {
  const { backend, limits, format } = cache
  const { strategy, defaultTtl } = namespace === undefined ? limits : cache.defaultsOf(namespace)
  const atRest = namespace === undefined ? format?.atRest : format?.atRestOf(namespace)
  const bounded = capabilities[backend].noLimits === undefined
  return {
    backend,
    strategy,
    max_memory: bounded && limits.maxMemory !== Infinity ? limits.maxMemory : null,
    max_items: bounded && limits.maxItems !== Infinity ? limits.maxItems : null,
    default_ttl: defaultTtl,
    cleanup_interval: limits.cleanupInterval,
    compression_enabled: atRest?.compression ?? false,
    encryption_enabled: atRest?.encryption ?? false
  }
}

/** The changes under their names in the store. Throws UnsupportedOperationError for what the backend, or any, cannot do. */
function settingsFor ({ backend, limits, format }: Cache, body: CacheConfigChanges): SettingChanges {
  const changes: SettingChanges = {}
  if (body.strategy !== undefined) Object.assign(changes, { [`cache.${backend}.strategy`]: builtStrategy(body.strategy, backend) })
  for (const name of ['max_memory', 'max_items'] as const) {
    if (body[name] === undefined) continue
    if (body[name] === null) checkUnlimited(name, backend)
    else checkLimit(name, backend)
    Object.assign(changes, { [`cache.${backend}.${name}`]: body[name] })
  }
  if (Object.keys(changes).length > 0) {
    // Together, since a strategy may need a limit: both may be in the same request.
    const strategy = body.strategy === undefined ? limits.strategy : builtStrategy(body.strategy, backend)
    checkStrategy(strategy, backend, { maxItems: limitAfter(body.max_items, limits.maxItems), maxMemory: limitAfter(body.max_memory, limits.maxMemory) })
  }
  for (const name of ['compression_enabled', 'encryption_enabled'] as const) {
    if (body[name] === undefined) continue
    if (body[name]) checkAtRest(name, format)
    // Where entries do not leave the process, false is what it is in any case.
    if (format !== undefined) Object.assign(changes, { [`cache.${backend}.${name}`]: body[name] })
  }
  if (body.default_ttl !== undefined) changes[`cache.${backend}.default_ttl`] = body.default_ttl
  if (body.cleanup_interval !== undefined) changes[`cache.${backend}.cleanup_interval`] = body.cleanup_interval
  return changes
}

const limitAfter = (given: number | null | undefined, now: number): number => given === undefined ? now : given ?? Infinity

function checkAtRest (name: 'compression_enabled' | 'encryption_enabled', format: Cache['format']): void {
  if (format === undefined) {
    throw new UnsupportedOperationError(`${name} is for entries that are stored outside the process, and those of memory are not: name another backend, or leave it false.`)
  }
  if (name === 'encryption_enabled' && !format.hasKeys) {
    throw new UnsupportedOperationError('encryption_enabled needs a key: set CACHE_ENCRYPTION_KEY in every process and restart (openssl rand -base64 32 makes one).')
  }
}

function quotaOf ({ limits }: Cache, namespace: string): CacheQuota | null {
  const quota = limits.quotas?.get(namespace)
  return quota === undefined ? null : { max_items: quota.maxItems, max_memory: quota.maxMemory }
}

/** Undefined: nothing is to change. */
function quotaChanges (maxItems: QuotaChanges['max_items'], maxMemory: QuotaChanges['max_memory']): QuotaChanges | undefined {
  if (maxItems === undefined && maxMemory === undefined) return undefined
  return { ...(maxItems === undefined ? {} : { max_items: maxItems }), ...(maxMemory === undefined ? {} : { max_memory: maxMemory }) }
}

function numbersIn (raw: object): Record<string, number> {
  return Object.fromEntries(Object.entries(raw).filter((pair): pair is [string, number] => typeof pair[1] === 'number'))
}

export default administration
