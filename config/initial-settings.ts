import type { Config } from '../config.js'
import type { RunTimeSettings } from '../schemas/config.js'
import { textOf } from '../services/limits/rates.js'
import { databaseStrategyOf, policyOf } from './backend.js'

/** The first values of the settings that may change while running. */
export function initialSettings ({ logLevel, rateLimits, cache, atRest: { compression, encryption } }: Config): Partial<RunTimeSettings> {
  return {
    'log.level': logLevel,
    'rate_limits.requests': textOf(rateLimits.requests),
    'rate_limits.failed_logins': textOf(rateLimits.failedLogins),
    'cache.memory.strategy': cache.strategy,
    'cache.memory.max_memory': cache.maxMemory,
    'cache.memory.max_items': cache.maxItems,
    'cache.memory.default_ttl': cache.defaultTtl,
    'cache.memory.cleanup_interval': cache.cleanupInterval,
    'cache.redis.default_ttl': cache.defaultTtl,
    'cache.redis.cleanup_interval': cache.cleanupInterval,
    'cache.redis.compression_enabled': compression,
    'cache.redis.encryption_enabled': encryption,
    'cache.database.strategy': databaseStrategyOf(cache.strategy) ?? 'lru',
    'cache.database.max_memory': cache.maxMemory,
    'cache.database.max_items': cache.maxItems,
    'cache.database.default_ttl': cache.defaultTtl,
    'cache.database.cleanup_interval': cache.cleanupInterval,
    'cache.database.compression_enabled': compression,
    'cache.database.encryption_enabled': encryption,
    'cache.memcached.default_ttl': cache.defaultTtl,
    'cache.memcached.cleanup_interval': cache.cleanupInterval,
    'cache.memcached.compression_enabled': compression,
    'cache.memcached.encryption_enabled': encryption,
    'cache.file.strategy': policyOf(cache.strategy) ?? 'lru',
    'cache.file.max_memory': cache.maxMemory,
    'cache.file.max_items': cache.maxItems,
    'cache.file.default_ttl': cache.defaultTtl,
    'cache.file.cleanup_interval': cache.cleanupInterval,
    'cache.file.compression_enabled': compression,
    'cache.file.encryption_enabled': encryption
  }
}
