import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { AnalyticsQuery, CacheAnalyticsReply, type CacheAnalytics } from '../../schemas/cache-analytics.js'
import { problems, ref } from '../../schemas/common.js'
import type { ActivityReport, Period } from '../../services/cache/analytics/activity.js'
import type { Analytics, AnalyticsReport } from '../../services/cache/analytics/analytics.js'
import type { Composition, Part } from '../../services/cache/analytics/composition.js'
import type { HotKeysReport } from '../../services/cache/analytics/hot-keys.js'
import type { WhatIfReport } from '../../services/cache/analytics/what-if.js'
import { checkCacheAccess, seesWhole } from '../../services/access/access.js'
import { capabilities } from '../../services/cache/backends/capabilities.js'
import { isLimited, type Limits } from '../../services/cache/limits.js'
import { isoTime } from '../../services/iso-time.js'
import type { BackendOperations } from '../../services/processes/together.js'
import type {} from '../../plugins/cache.js'
import type {} from '../../plugins/together.js'
import { SWEEP } from './costs.js'
import { cacheOf, EMPTY_NAMESPACE } from './place.js'

const OF_ALL = 'It is told of the backend as a whole: leave namespace out.'

/** What the caches are used for. */
const analytics: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/analytics', {
    config: { scope: 'cache:read', priority: 'bulk', touches: 'handler', rateLimit: { cost: SWEEP } },
    schema: {
      operationId: 'getCacheAnalytics',
      summary: 'Show what a backend is used for and how it does',
      description: 'Hot keys, access patterns over time, memory and TTL distribution, latency by backend and operation, eviction rate, ' +
        'and the hit rate at other sizes. All of it comes from sketches of bounded size, so that most numbers are ' +
        'estimates and say how good they are. Where several processes serve together (`WORKERS`) it is of all of them. With a namespace, nothing tells of any other; ' +
        'callers that are limited to namespaces name one.',
      tags: ['Cache'],
      querystring: AnalyticsQuery,
      response: { 200: ref(CacheAnalyticsReply), ...problems(400, 422, 503) }
    }
  }, async ({ query: { backend, namespace, limit = 100 }, principal }, reply) => {
    const cache = cacheOf(app.caches, backend)
    if (namespace === undefined) checkCacheAccess(principal)
    const observed = app.analytics.get(cache.backend) as Analytics
    const isHidden = namespace !== undefined && !seesWhole(principal, namespace)
    const asked = namespace !== undefined ? [] : backend === undefined ? [...app.analytics.values()] : [observed]
    const found = await app.together.analytics(observed, limit, isHidden ? EMPTY_NAMESPACE : namespace, asked)
    const report = { ...found.report, namespace }
    const timed = performanceOf(found.timed)
    void reply.header('cache-control', 'no-store')
    return { success: true as const, analytics: analyticsOf(report, cache.limits, timed) }
  })
}

function analyticsOf (report: AnalyticsReport, limits: Readonly<Limits>, timed: CacheAnalytics['backend_performance']): CacheAnalytics {
  const { backend, namespace, activity, composition } = report
  return {
    backend,
    namespace: namespace ?? null,
    since: isoTime(report.since),
    generated_at: isoTime(report.at),
    hot_keys: hotKeysOf(report.hotKeys),
    access_patterns: activity === undefined ? null : { minutes: activity.minutes.map(periodOf), hours: activity.hours.map(periodOf) },
    memory_distribution: distributionOf(composition, composition.at),
    ttl_distribution: ttlsOf(composition),
    backend_performance: timed,
    eviction_rate: activity === undefined ? null : evictionsOf(activity),
    what_if: report.whatIf === undefined ? null : whatIfOf(report.whatIf),
    unavailable: unavailableOf(report, limits, timed)
  }
}

function hotKeysOf ({ window, reads: all, sampled, keys }: HotKeysReport): CacheAnalytics['hot_keys'] {
  return {
    window_seconds: window,
    accesses: all,
    sampled_accesses: sampled ?? null,
    keys: keys.map(({ namespace, key, reads, error }) => ({ namespace, key, accesses: reads, error, share: percent(reads, all) }))
  }
}

function periodOf ({ start, hits, misses, sets, deletes, evictions }: Period) {
  const reads = hits + misses
  return { start: isoTime(start), hits, misses, sets, deletes, evictions, hit_rate: reads === 0 ? null : percent(hits, reads) }
}

function evictionsOf ({ evictions: { minute, fiveMinutes, hour } }: ActivityReport): CacheAnalytics['eviction_rate'] {
  return { last_minute: minute, last_5_minutes: fiveMinutes, last_hour: hour }
}

function distributionOf (composition: Composition, at: number): CacheAnalytics['memory_distribution'] {
  const { sample: { items, bytes, size, source, isComplete }, byDataType, byPrefix, otherPrefixes } = composition
  const part = ({ items, itemsError, bytes: partOf, bytesError }: Part) => ({
    items, items_error: itemsError, bytes: partOf, bytes_error: bytesError, share: percent(partOf, bytes)
  })
  return {
    sampled: size < items || !isComplete,
    sample_size: size,
    total_items: items,
    total_bytes: bytes,
    complete: isComplete,
    source,
    measured_at: isoTime(at),
    by_data_type: byDataType.map((each) => ({ data_type: each.dataType, ...part(each) })),
    by_prefix: byPrefix.map((each) => ({ prefix: each.prefix ?? null, ...part(each) })),
    other_prefixes: { prefixes: otherPrefixes.prefixes, ...part(otherPrefixes) }
  }
}

function ttlsOf ({ ttl: { buckets, never } }: Composition): CacheAnalytics['ttl_distribution'] {
  return {
    never_expires: never,
    buckets: buckets.map(({ from, to, given, left }) => ({ from, to: to === Infinity ? null : to, as_set: given, remaining: left }))
  }
}

function performanceOf (timed: readonly BackendOperations[]): CacheAnalytics['backend_performance'] {
  if (timed.length === 0) return null
  return {
    window_seconds: Math.max(...timed.map(({ window }) => window)),
    operations: timed.flatMap(({ backend, operations }) => operations.map(({ operation, count, errors, recent, percentiles }) => ({
      backend, operation, count, error_count: errors, recent_count: recent, latency: percentiles ?? null
    })))
  }
}

function whatIfOf ({ strategy, actualHitRate, reads, sampledReads, sampledKeys, samplingRate, points }: WhatIfReport): CacheAnalytics['what_if'] {
  return {
    strategy,
    actual_hit_rate: actualHitRate,
    accesses: reads,
    sampled_accesses: sampledReads,
    sampled_keys: sampledKeys,
    sampling_rate: samplingRate,
    points: points.map(({ factor, maxItems, maxMemory, hitRate }) => ({
      size_factor: factor, max_items: finite(maxItems), max_memory: finite(maxMemory), hit_rate: hitRate
    }))
  }
}

function unavailableOf (
  { backend, namespace, activity, whatIf }: AnalyticsReport, limits: Readonly<Limits>, timed: CacheAnalytics['backend_performance']
): Record<string, string> {
  const reasons: Record<string, string> = {}
  if (activity === undefined) {
    reasons['access_patterns'] = reasons['eviction_rate'] = 'Only so many namespaces are followed one by one: ask again when another has been silent for an hour.'
  }
  if (timed === null) {
    reasons['backend_performance'] = namespace === undefined ? 'It is not measured: set CACHE_PERFORMANCE_TRACKING=true and restart.' : OF_ALL
  }
  if (whatIf === undefined) {
    if (namespace !== undefined) reasons['what_if'] = OF_ALL
    else if (isLimited(limits) && capabilities[backend].noLimits === undefined) reasons['what_if'] = 'There have not been enough reads yet: ask again later.'
    else reasons['what_if'] = `${backend} has no limits here, so that there are no other sizes to try.`
  }
  return reasons
}

const finite = (limit: number): number | null => Number.isFinite(limit) ? limit : null

const percent = (part: number, whole: number): number => whole === 0 ? 0 : Math.min(100, part / whole * 100)

export default analytics
