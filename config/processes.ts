import type { Environment } from '../schemas/config.js'
import { ConfigError } from './fault.js'
import type { Name } from './values.js'

/**
 * Several processes share what they keep: the default backend is redis for them unless another was given.
 * @throws ConfigError for what each process would have for itself
 */
export function shareBetweenProcesses (values: Environment, given: (name: Name) => boolean, { databaseUrl, redis }: { databaseUrl: unknown, redis: unknown }): void {
  const { WORKERS: count, CACHE_BACKEND: backend } = values
  const needs = (what: string): never => { throw new ConfigError('WORKERS', `WORKERS=${count} needs ${what}, or leave WORKERS out.`) }
  if (databaseUrl === undefined) needs('a PostgreSQL server, as the embedded one is for one process: give DATABASE_URL, such as postgres://user:password@localhost:5432/larder')
  if (redis === undefined) needs('a Redis, through which the processes know of each other\'s changes: give REDIS_URL, such as redis://localhost:6379')
  if (!given('CACHE_BACKEND')) values.CACHE_BACKEND = 'redis'
  else if (backend === 'memory' || backend === 'file') {
    throw new ConfigError('CACHE_BACKEND', `CACHE_BACKEND=${backend} cannot be shared: with WORKERS=${count} each process would have its own. Give redis, memcached or database, or leave it out for redis.`)
  }
}
