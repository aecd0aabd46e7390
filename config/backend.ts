import { DatabaseStrategies, type Environment, type RunTimeSettings, Strategies } from '../schemas/config.js'
import { ConfigError } from './fault.js'

/** @throws ConfigError where the default backend lacks its server, or cannot evict by the strategy */
export function checkBackend (values: Environment, hasRedis: boolean): void {
  if (values.CACHE_BACKEND === 'memcached' && values.MEMCACHED_URL === undefined) {
    throw new ConfigError('CACHE_BACKEND', 'CACHE_BACKEND=memcached needs a server: give MEMCACHED_URL, such as memcached://localhost:11211.')
  }
  if (values.CACHE_BACKEND === 'memcached' && values.CACHE_STRATEGY !== 'lru') {
    throw new ConfigError('CACHE_STRATEGY', `CACHE_STRATEGY=${values.CACHE_STRATEGY} is nothing that CACHE_BACKEND=memcached can evict by: leave it out, its server evicts by lru.`)
  }
  if (values.CACHE_BACKEND === 'redis' && !hasRedis) {
    throw new ConfigError('CACHE_BACKEND', 'CACHE_BACKEND=redis needs a server: give REDIS_URL, such as redis://localhost:6379.')
  }
  if (values.CACHE_BACKEND === 'database' && databaseStrategyOf(values.CACHE_STRATEGY) === undefined) {
    throw new ConfigError('CACHE_STRATEGY', `CACHE_STRATEGY=${values.CACHE_STRATEGY} is nothing that CACHE_BACKEND=database can evict by: give one of ${DatabaseStrategies.join(', ')}.`)
  }
  if (values.CACHE_BACKEND !== 'memory' && policyOf(values.CACHE_STRATEGY) === undefined) {
    throw new ConfigError('CACHE_STRATEGY', `CACHE_STRATEGY=${values.CACHE_STRATEGY} is for CACHE_BACKEND=memory: give one of ${Strategies.join(', ')}.`)
  }
}

/** The same strategy, if it is an eviction policy. */
export function policyOf (strategy: string): typeof Strategies[number] | undefined {
  return Strategies.find((name) => name === strategy)
}

/** The same strategy, if the database can evict by it. */
export function databaseStrategyOf (strategy: string): RunTimeSettings['cache.database.strategy'] | undefined {
  return DatabaseStrategies.find((name) => name === strategy)
}
