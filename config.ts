import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { checkBackend } from './config/backend.js'
import { ConfigError, reason } from './config/fault.js'
import { misspelt } from './config/misspelt.js'
import { hostOf, originsOf, proxiesOf, ratesOf, type TlsFiles, tlsFiles, webhooksOf } from './config/network.js'
import { type AccessConfig, accessOf, type AtRestConfig, atRestOf, type ValetConfig, valetOf } from './config/secrets.js'
import { databaseOf, type RedisConfig, redisOf } from './config/servers.js'
import { shareBetweenProcesses } from './config/processes.js'
import { type EnvironmentSetting, shownSetting } from './config/shown.js'
import { type TracingConfig, tracingOf } from './config/tracing.js'
import { type Given, type Name, names, parse, parseUrl, schemas } from './config/values.js'
import type { CacheBackend } from './schemas/cache.js'
import type { Environment, MemoryStrategies, RunTimeSettings } from './schemas/config.js'
import type { Rate } from './services/limits/rates.js'

/** Everything the environment decides. Read once, at the start; passed on as an argument. */
export interface Config {
  host: string
  port: number
  logLevel: RunTimeSettings['log.level']
  accessLog: boolean
  metrics: boolean
  /** Whether the latency of cache operations is measured. */
  performanceTracking: boolean
  /** undefined traces nothing. */
  tracing?: TracingConfig
  /** undefined serves plain HTTP. */
  tls?: TlsFiles
  access: AccessConfig
  valet: ValetConfig
  /** Days that an entry of the audit log is kept. */
  auditRetention: number
  rateLimits: {
    /** Of each caller. */
    requests: readonly Rate[]
    /** Of each address, and each key. */
    failedLogins: readonly Rate[]
  }
  overload: {
    /** Milliseconds; 0 turns nobody away. */
    delay: number
    concurrency: number
  }
  /** Whom events may be sent to. */
  webhooks: { hosts: string[], addresses: string[] }
  /** Addresses and networks whose `X-Forwarded-For` is believed. */
  trustedProxies: string[]
  /** For CORS; empty allows none. */
  allowedOrigins: string[]
  /** Folder of what Larder keeps itself. */
  dataDir: string
  /** PostgreSQL server; undefined runs the embedded one under `dataDir`. */
  databaseUrl?: string
  /** undefined: only into a new embedded database. */
  sampleData?: boolean
  /** undefined runs without Redis */
  redis?: RedisConfig
  memcachedUrl?: string
  cache: {
    backend: CacheBackend
    strategy: typeof MemoryStrategies[number]
    /** Bytes. */
    maxMemory: number
    maxItems: number
    /** Seconds; 0 never expires. */
    defaultTtl: number
    /** Seconds. */
    cleanupInterval: number
    /** Behind memory, for write_through and write_behind. */
    durableTier: Environment['CACHE_DURABLE_TIER']
    /** What write_behind may have waiting. */
    writeBehind: { maxEntries: number, maxBytes: number }
    /** Bytes. */
    maxKeyLength: number
    /** Bytes. */
    maxImportSize: number
    /** Milliseconds. */
    deadline: number
    /** Whether a write to the file backend waits for the device. */
    fileSync: boolean
  }
  atRest: AtRestConfig
  /** Whether what is to be done about events is done in this process. */
  worker: boolean
  /** Processes that serve on one port. */
  workers: number
  /** Milliseconds for which a service that is told to end still answers. */
  shutdownDelay: number
  /** Seconds after which events that a worker has taken and not finished go to another. */
  eventClaimAfter: number
  /** Every setting of the environment as it is in force, fit to be shown: secrets masked. */
  environment: readonly EnvironmentSetting[]
  /** What was given and has no effect, one sentence each, to be logged once there is a log. */
  warnings?: readonly string[]
}

/**
 * The process's environment over what `.env` in `directory` says, where there is one. A variable that is set wins even
 * when it is empty: that is how one line of `.env` is switched off.
 */
export function readEnvironment (directory = process.cwd(), env: Given = process.env): Given {
  let text: string
  try {
    text = readFileSync(`${directory}/.env`, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return env
    throw new ConfigError('.env', `.env cannot be read (${reason(error)}): make it readable, or remove it.`)
  }
  return { ...parseEnv(text.replace(/^\uFEFF/, '')), ...env }
}

/** Checks and converts the environment. Throws a ConfigError for the first setting that does not validate. */
export function loadConfig (env: Given = readEnvironment()): Config {
  const given = (name: Name) => env[name] !== undefined && env[name] !== ''
  const values = Object.fromEntries(names.map((name) => [name, given(name) ? parse(name, env[name] as string) : schemas[name].default])) as Environment
  const warnings = misspelt(env)

  const tls = tlsFiles(values)
  const databaseUrl = databaseOf(values, given, warnings)
  const redis = redisOf(values, given, warnings)
  if (values.MEMCACHED_URL !== undefined) {
    parseUrl('MEMCACHED_URL', values.MEMCACHED_URL)
  }
  if (values.WORKERS > 1) shareBetweenProcesses(values, given, { databaseUrl, redis })
  checkBackend(values, redis !== undefined)
  const tracing = tracingOf(values, given, env, warnings)

  return {
    host: hostOf(values),
    port: values.PORT,
    logLevel: values.LOG_LEVEL,
    accessLog: values.CACHE_ACCESS_LOG_ENABLED,
    metrics: values.CACHE_METRICS_ENABLED,
    performanceTracking: values.CACHE_PERFORMANCE_TRACKING,
    ...(tracing && { tracing }),
    ...(tls && { tls }),
    access: accessOf(values, warnings),
    valet: valetOf(values, databaseUrl !== undefined, warnings),
    auditRetention: values.AUDIT_RETENTION,
    rateLimits: { requests: ratesOf('RATE_LIMITS', values), failedLogins: ratesOf('FAILED_LOGIN_LIMITS', values) },
    overload: { delay: values.OVERLOAD_DELAY, concurrency: values.MAX_CONCURRENT_REQUESTS },
    trustedProxies: proxiesOf(values),
    webhooks: webhooksOf(values),
    allowedOrigins: originsOf(values),
    dataDir: values.DATA_DIR,
    ...(databaseUrl !== undefined && { databaseUrl }),
    ...(values.SAMPLE_DATA !== undefined && { sampleData: values.SAMPLE_DATA }),
    ...(redis && { redis }),
    ...(values.MEMCACHED_URL !== undefined && { memcachedUrl: values.MEMCACHED_URL }),
    cache: {
      backend: values.CACHE_BACKEND,
      strategy: values.CACHE_STRATEGY,
      maxMemory: values.CACHE_MAX_MEMORY,
      maxItems: values.CACHE_MAX_ITEMS,
      defaultTtl: values.CACHE_DEFAULT_TTL,
      cleanupInterval: values.CACHE_CLEANUP_INTERVAL,
      durableTier: values.CACHE_DURABLE_TIER,
      writeBehind: { maxEntries: values.CACHE_WRITE_BEHIND_MAX_ENTRIES, maxBytes: values.CACHE_WRITE_BEHIND_MAX_BYTES },
      maxKeyLength: values.CACHE_MAX_KEY_LENGTH,
      maxImportSize: values.CACHE_MAX_IMPORT_SIZE,
      deadline: values.CACHE_DEADLINE,
      fileSync: values.CACHE_FILE_SYNC
    },
    atRest: atRestOf(values),
    worker: values.WORKER,
    workers: values.WORKERS,
    shutdownDelay: values.SHUTDOWN_DELAY * 1000,
    eventClaimAfter: values.EVENT_CLAIM_AFTER,
    environment: names.map((name) => shownSetting(name, values[name], given(name))),
    warnings
  }
}
