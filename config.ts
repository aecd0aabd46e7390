import { accessSync, constants, readFileSync } from 'node:fs'
import { BlockList, isIP } from 'node:net'
import { createSecureContext } from 'node:tls'
import { parseEnv } from 'node:util'
import { KindGuard, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { CacheBackend } from './schemas/cache.js'
import { DatabaseStrategies, Environment, type RunTimeSettings, type MemoryStrategies, type Setting, Strategies } from './schemas/config.js'
import { type KeySource, KeyTextError, parseKeys } from './services/cache/codec/key-source.js'
import { parseRates, type Rate, RateTextError } from './services/limits/rates.js'

/** Everything the environment decides. Read once, at the start; passed on as an argument. */
export interface Config {
  host: string
  port: number
  logLevel: RunTimeSettings['log.level']
  accessLog: boolean
  metrics: boolean
  /** Whether the latency of cache operations is measured. */
  performanceTracking: boolean
  /** Paths of PEM files; undefined serves plain HTTP. */
  tls?: { certFile: string, keyFile: string }
  access: {
    /** Whether every caller needs a credential. */
    required: boolean
    /** Treat every caller as a local one. */
    everyoneIsLocal: boolean
    administratorKey?: string
  }
  valet: {
    algorithm: Environment['VALET_ALGORITHM']
    /** Seconds. */
    defaultTtl: number
    /** The first one seals; undefined: one under `dataDir`. */
    secrets?: readonly string[]
  }
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
  /** undefined runs without Redis. What `db` and `password` do not say, the URL does. */
  redis?: { url: string, db?: number, username?: string, password?: string, several?: RedisNodes }
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
  /** What is done to entries outside the process. */
  atRest: {
    serialization: Environment['CACHE_SERIALIZATION_FORMAT']
    compression: boolean
    encryption: boolean
    /** The first one writes; undefined when there is none. */
    keys?: readonly KeySource[]
  }
  /** Whether what is to be done about events is done in this process. */
  worker: boolean
  /** Every setting of the environment as it is in force, fit to be shown: secrets masked. */
  environment: readonly EnvironmentSetting[]
  /** What was given and has no effect, one sentence each, to be logged once there is a log. */
  warnings?: readonly string[]
}

export interface EnvironmentSetting {
  name: string
  /** Undefined: not given, and without a default. */
  value: unknown
  isDefault: boolean
  default: unknown
  description: string
}

/** Several servers of Redis: of a cluster, or the sentinels that know where the master is. */
export interface RedisNodes {
  nodes: { host: string, port: number }[]
  tls: boolean
  /** The name that the sentinels watch the master under; undefined for a cluster. */
  master?: string
  sentinelPassword?: string
}

/** A setting that does not validate. The message is one line: it names the setting and says what to give. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly setting: string

  constructor (setting: string, message: string) {
    super(message)
    this.setting = setting
  }
}

type Name = keyof Environment
type Given = NodeJS.ProcessEnv

const schemas = Environment.properties as unknown as Record<Name, Setting>
const names = Object.keys(schemas) as Name[]

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
  if (values.CACHE_BACKEND === 'memcached' && values.MEMCACHED_URL === undefined) {
    throw new ConfigError('CACHE_BACKEND', 'CACHE_BACKEND=memcached needs a server: give MEMCACHED_URL, such as memcached://localhost:11211.')
  }
  if (values.CACHE_BACKEND === 'memcached' && values.CACHE_STRATEGY !== 'lru') {
    throw new ConfigError('CACHE_STRATEGY', `CACHE_STRATEGY=${values.CACHE_STRATEGY} is nothing that CACHE_BACKEND=memcached can evict by: leave it out, its server evicts by lru.`)
  }
  if (values.CACHE_BACKEND === 'redis' && redis === undefined) {
    throw new ConfigError('CACHE_BACKEND', 'CACHE_BACKEND=redis needs a server: give REDIS_URL, such as redis://localhost:6379.')
  }
  if (values.CACHE_BACKEND === 'database' && databaseStrategyOf(values.CACHE_STRATEGY) === undefined) {
    throw new ConfigError('CACHE_STRATEGY', `CACHE_STRATEGY=${values.CACHE_STRATEGY} is nothing that CACHE_BACKEND=database can evict by: give one of ${DatabaseStrategies.join(', ')}.`)
  }
  if (values.CACHE_BACKEND !== 'memory' && policyOf(values.CACHE_STRATEGY) === undefined) {
    throw new ConfigError('CACHE_STRATEGY', `CACHE_STRATEGY=${values.CACHE_STRATEGY} is for CACHE_BACKEND=memory: give one of ${Strategies.join(', ')}.`)
  }

  return {
    host: hostOf(values),
    port: values.PORT,
    logLevel: values.LOG_LEVEL,
    accessLog: values.CACHE_ACCESS_LOG_ENABLED,
    metrics: values.CACHE_METRICS_ENABLED,
    performanceTracking: values.CACHE_PERFORMANCE_TRACKING,
    ...(tls && { tls }),
    access: accessOf(values, warnings),
    valet: valetOf(values, databaseUrl !== undefined, warnings),
    auditRetention: values.AUDIT_RETENTION,
    rateLimits: { requests: ratesOf('RATE_LIMITS', values), failedLogins: ratesOf('FAILED_LOGIN_LIMITS', values) },
    overload: { delay: values.OVERLOAD_DELAY, concurrency: values.MAX_CONCURRENT_REQUESTS },
    trustedProxies: proxiesOf(values),
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
    environment: names.map((name) => shownSetting(name, values[name], given(name))),
    warnings
  }
}

/** The first values of the settings that may change while running. */
export function initialSettings ({ logLevel, cache, atRest: { compression, encryption } }: Config): Partial<RunTimeSettings> {
  return {
    'log.level': logLevel,
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

/** The same strategy, if it is an eviction policy. */
function policyOf (strategy: string): typeof Strategies[number] | undefined {
  return Strategies.find((name) => name === strategy)
}

/** The same strategy, if the database can evict by it. */
function databaseStrategyOf (strategy: string): RunTimeSettings['cache.database.strategy'] | undefined {
  return DatabaseStrategies.find((name) => name === strategy)
}

function shownSetting (name: Name, value: string | number | boolean | undefined, isGiven: boolean): EnvironmentSetting {
  const schema = schemas[name]
  const shown = !schema.secret || value === undefined ? value : /_URL$/.test(name) ? maskUrl(String(value)) : '***'
  return { name, value: shown, isDefault: !isGiven, default: schema.default, description: schema.description }
}

/** A URL, or a list of them, fit to be shown: without passwords. */
export function maskUrl (url: string): string {
  return url.replace(/(?<=:\/\/[^/?#]*:)[^/?#]*(?=@)/g, '***').replace(/(?<=[?&](?:\w*password|pass)=)[^&#]*/gi, '***')
}

const booleans = new Map([['true', true], ['1', true], ['false', false], ['0', false]])

function parse (name: Name, text: string): string | number | boolean {
  const schema = schemas[name]
  const shown = schema.secret ? '' : `, not ${JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)}`
  let value: string | number | boolean | undefined = text
  if (KindGuard.IsBoolean(schema)) value = booleans.get(text.trim())
  else if (KindGuard.IsInteger(schema) || KindGuard.IsNumber(schema)) value = /^\s*\d+(\.\d+)?\s*$/.test(text) ? Number(text) : undefined

  if (name === 'DATABASE_URL' && /^sqlite/i.test(text)) {
    throw new ConfigError(name, 'DATABASE_URL: SQLite is not supported: give a postgres:// URL, or leave it out for the embedded PostgreSQL.')
  }
  if (value === undefined || !Value.Check(schema, value)) throw new ConfigError(name, `${name} must be ${expected(schema)}${shown}.`)
  if (schema.built && !schema.built.includes(value)) throw new ConfigError(name, notBuilt(name, schema, text))
  return value
}

function notBuilt (name: Name, schema: Setting, text: string): string {
  const works = schema.built as readonly unknown[]
  return works.length === 0
    ? `${name} is for something that is not built yet: leave it out.`
    : `${name}=${text} asks for something that is not built yet: give ${works.join(' or ')}, or leave it out.`
}

/** What a schema takes, in words that follow "must be". */
export function expected (schema: TSchema): string {
  if (KindGuard.IsBoolean(schema)) return 'true or false'
  if (KindGuard.IsUnion(schema)) return `one of ${schema.anyOf.map((word) => String(word['const'])).join(', ')}`
  if (KindGuard.IsInteger(schema)) return `a whole number from ${schema.minimum} to ${schema.maximum}`
  if (KindGuard.IsNumber(schema)) return `a number from ${schema.minimum} to ${schema.maximum}`
  const [example] = (schema['examples'] ?? []) as string[]
  return example === undefined ? 'a text' : `like ${example}`
}

function parseUrl (name: Name, text: string): URL {
  try {
    return new URL(text)
  } catch {
    throw new ConfigError(name, `${name} is not a valid URL: it must be ${expected(schemas[name])}, with special characters in the password percent-encoded.`)
  }
}

/** What documents print in the place of a secret: everybody has read it. */
const SAMPLE_SECRET = /^(?:your[_-].*|change[_-]?me.*|(?:super)?secret|password|example)$/i
/** Characters below which a key can be guessed by who is let to try for long. */
const SHORT_SECRET = 16

function accessOf ({ CACHE_AUTH_ENABLED: required, ALLOW_UNAUTHENTICATED: everyoneIsLocal, CACHE_API_KEY: administratorKey }: Environment, warnings: string[]): Config['access'] {
  if (required) {
    if (administratorKey === undefined) throw new ConfigError('CACHE_API_KEY', 'CACHE_AUTH_ENABLED=true needs an administrator: give CACHE_API_KEY a secret, as `openssl rand -base64 32` makes one.')
    if (SAMPLE_SECRET.test(administratorKey)) throw new ConfigError('CACHE_API_KEY', 'CACHE_API_KEY is a sample that everybody has read: make one of your own, with `openssl rand -base64 32`.')
    if (administratorKey.length < SHORT_SECRET) warnings.push(`CACHE_API_KEY has fewer than ${SHORT_SECRET} characters: make a longer one, with \`openssl rand -base64 32\`.`)
  }
  return { required, everyoneIsLocal, ...(administratorKey !== undefined && { administratorKey }) }
}

/** Secrets that one list may have: one in use, and those before it that are on their way out. */
const MAX_SECRETS = 8

function valetOf ({ SECRET_KEY, CACHE_AUTH_ENABLED: required, VALET_ALGORITHM: algorithm, VALET_TOKEN_TTL: defaultTtl, WORKERS }: Environment, isServer: boolean, warnings: string[]): Config['valet'] {
  const make = 'make one with `openssl rand -base64 32`'
  if (SECRET_KEY === undefined) {
    if (required && WORKERS > 1) throw new ConfigError('SECRET_KEY', `CACHE_AUTH_ENABLED=true with several processes needs SECRET_KEY, the same for all: ${make}.`)
    // Whether other machines use the database too cannot be known: they would each make a file of their own.
    if (required && isServer) warnings.push(`SECRET_KEY is not given, so one is kept under DATA_DIR: processes on other machines do not accept the valet keys of this one until all get the same SECRET_KEY (${make}).`)
    return { algorithm, defaultTtl }
  }
  const secrets = SECRET_KEY.split(',').map((part) => part.trim())
  if (secrets.includes('') || new Set(secrets).size < secrets.length || secrets.length > MAX_SECRETS) {
    throw new ConfigError('SECRET_KEY', `SECRET_KEY must be one secret, or up to ${MAX_SECRETS} different ones with commas between, the new one first.`)
  }
  const isSample = secrets.some((secret) => SAMPLE_SECRET.test(secret))
  if (required && isSample) throw new ConfigError('SECRET_KEY', `SECRET_KEY is a sample that everybody has read: ${make}.`)
  if (isSample || secrets.some((secret) => secret.length < SHORT_SECRET)) warnings.push(`SECRET_KEY can be guessed: ${make}.`)
  return { algorithm, defaultTtl, secrets }
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')

function hostOf ({ HOST, ALLOW_UNAUTHENTICATED, CACHE_AUTH_ENABLED }: Environment): string {
  // For `localhost` Fastify would open a second server, on ::1, without the handlers of the first.
  const host = HOST.replace(/^\[(.*)\]$/, '$1').replace(/^localhost$/i, '127.0.0.1')
  const family = isIP(host)
  if (family === 0 && !/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i.test(host)) {
    throw new ConfigError('HOST', `HOST must be an address or a host name, without scheme or port, not ${JSON.stringify(HOST)}.`)
  }
  const local = family !== 0 && loopback.check(host, family === 6 ? 'ipv6' : 'ipv4')
  if (!local && !ALLOW_UNAUTHENTICATED && !CACHE_AUTH_ENABLED) {
    throw new ConfigError('HOST', `HOST=${host} can be reached from other machines, and authentication is off: give a loopback address such as 127.0.0.1, set CACHE_AUTH_ENABLED=true, or set ALLOW_UNAUTHENTICATED=true where only trusted callers get through.`)
  }
  return host
}

function ratesOf (name: 'RATE_LIMITS' | 'FAILED_LOGIN_LIMITS', { [name]: text }: Environment): Rate[] {
  try {
    return parseRates(text)
  } catch (error) {
    if (error instanceof RateTextError) throw new ConfigError(name, `${name} ${error.message}.`)
    throw error
  }
}

/** Networks, and nothing that would believe everybody: a number of hops is no address, and whoever is near could lie. */
function proxiesOf ({ TRUSTED_PROXIES = '' }: Environment): string[] {
  return TRUSTED_PROXIES.split(',').map((part) => part.trim()).filter((part) => part !== '').map((proxy) => {
    const [address = '', bits, ...more] = proxy.split('/')
    const family = isIP(address)
    const isNetwork = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) >= 1 && Number(bits) <= (family === 6 ? 128 : 32))
    if (family === 0 || !isNetwork || more.length > 0) {
      throw new ConfigError('TRUSTED_PROXIES', `TRUSTED_PROXIES must list addresses and networks of proxies, like 10.0.0.0/8,192.0.2.7, not ${JSON.stringify(proxy)}: numbers of hops and \`true\` would believe what anybody writes.`)
    }
    return proxy
  })
}

function originsOf ({ ALLOWED_ORIGINS = '', CACHE_AUTH_ENABLED }: Environment): string[] {
  return ALLOWED_ORIGINS.split(',').map((part) => part.trim()).filter((part) => part !== '').map((origin) => {
    if (origin === '*') {
      if (CACHE_AUTH_ENABLED) return origin
      throw new ConfigError('ALLOWED_ORIGINS', 'ALLOWED_ORIGINS=* would let every web page use the cache while authentication is off: list the origins, such as http://localhost:3000.')
    }
    const url = URL.canParse(origin) ? new URL(origin) : undefined
    if (!url || url.origin === 'null' || url.href !== `${url.origin}/` || origin.endsWith('/')) {
      throw new ConfigError('ALLOWED_ORIGINS', `ALLOWED_ORIGINS must list origins like https://example.com, without path, separated by commas, not ${JSON.stringify(origin)}.`)
    }
    return url.origin
  })
}

function tlsFiles ({ TLS_CERT_FILE, TLS_KEY_FILE }: Environment): Config['tls'] | undefined {
  if (TLS_CERT_FILE === undefined && TLS_KEY_FILE === undefined) return undefined
  if (TLS_CERT_FILE === undefined) throw new ConfigError('TLS_CERT_FILE', 'TLS_KEY_FILE needs TLS_CERT_FILE: give both, or neither.')
  if (TLS_KEY_FILE === undefined) throw new ConfigError('TLS_KEY_FILE', 'TLS_CERT_FILE needs TLS_KEY_FILE: give both, or neither.')
  for (const [name, file] of [['TLS_CERT_FILE', TLS_CERT_FILE], ['TLS_KEY_FILE', TLS_KEY_FILE]] as const) {
    try {
      accessSync(file, constants.R_OK)
      createSecureContext({ [name === 'TLS_CERT_FILE' ? 'cert' : 'key']: readFileSync(file) })
    } catch (error) {
      throw new ConfigError(name, `${name}=${file} cannot be used (${reason(error)}): give a PEM file that Larder can read.`)
    }
  }
  try {
    createSecureContext({ cert: readFileSync(TLS_CERT_FILE), key: readFileSync(TLS_KEY_FILE) })
  } catch (error) {
    throw new ConfigError('TLS_KEY_FILE', `TLS_KEY_FILE is not the key of TLS_CERT_FILE (${reason(error)}): give a pair.`)
  }
  return { certFile: TLS_CERT_FILE, keyFile: TLS_KEY_FILE }
}

function atRestOf (values: Environment): Config['atRest'] {
  const { CACHE_SERIALIZATION_FORMAT: serialization, CACHE_COMPRESSION_ENABLED: compression, CACHE_ENCRYPTION_ENABLED: encryption } = values
  const keys = keysOf(values)
  if (encryption && keys === undefined) {
    throw new ConfigError('CACHE_ENCRYPTION_KEY', 'CACHE_ENCRYPTION_ENABLED=true needs CACHE_ENCRYPTION_KEY: make a key with: openssl rand -base64 32')
  }
  return { serialization, compression, encryption, ...(keys && { keys }) }
}

function keysOf ({ CACHE_ENCRYPTION_KEY }: Environment): KeySource[] | undefined {
  if (CACHE_ENCRYPTION_KEY === undefined) return undefined
  try {
    return parseKeys(CACHE_ENCRYPTION_KEY)
  } catch (error) {
    if (error instanceof KeyTextError) throw new ConfigError('CACHE_ENCRYPTION_KEY', `CACHE_ENCRYPTION_KEY ${error.message}.`)
    throw error
  }
}

function databaseOf (values: Environment, given: (name: Name) => boolean, warnings: string[]): string | undefined {
  const { DATABASE_URL, DB_HOST, DB_PORT, DB_USER, DB_PASSWORD, DB_NAME } = values
  const parts = (['DB_HOST', 'DB_PORT', 'DB_USER', 'DB_PASSWORD', 'DB_NAME'] as const).filter(given)
  if (DATABASE_URL !== undefined) {
    parseUrl('DATABASE_URL', DATABASE_URL)
    if (DB_HOST !== undefined) warnings.push(`${parts.join(', ')}: not used, since DATABASE_URL is given.`)
    return DATABASE_URL
  }
  if (DB_HOST === undefined) {
    if (parts.length > 0) warnings.push(`${parts.join(', ')}: not used without DB_HOST.`)
    return undefined
  }
  const user = [DB_USER, ...(DB_PASSWORD === undefined ? [] : [DB_PASSWORD])].map(encodeURIComponent).join(':')
  const url = `postgres://${user}@${isIP(DB_HOST) === 6 ? `[${DB_HOST}]` : DB_HOST}:${DB_PORT}/${encodeURIComponent(DB_NAME)}`
  if (!URL.canParse(url)) throw new ConfigError('DB_HOST', `DB_HOST must be an address or a host name, not ${JSON.stringify(DB_HOST)}.`)
  return url
}

function redisOf (values: Environment, given: (name: Name) => boolean, warnings: string[]): Config['redis'] | undefined {
  const { REDIS_URL, REDIS_DB, REDIS_PASSWORD } = values
  if (REDIS_URL === undefined) {
    if (REDIS_DB !== 0 || REDIS_PASSWORD !== undefined) warnings.push('REDIS_DB and REDIS_PASSWORD are not used without REDIS_URL.')
    return undefined
  }
  const [, scheme = '', kind] = /^(rediss?)(\+cluster|\+sentinel)?:/.exec(REDIS_URL) ?? []
  const urls = REDIS_URL.split(',').map((part, at) => parseUrl('REDIS_URL', part.includes('://') ? part.replace(/^(rediss?)\+\w+/, '$1') : `${at === 0 ? '' : `${scheme}://`}${part}`))
  const [first] = urls as [URL]
  const last = urls.at(-1) as URL
  if (urls.some(({ protocol, hostname }) => protocol !== `${scheme}:` || hostname === '')) throw new ConfigError('REDIS_URL', 'REDIS_URL must name a host in each part, all with redis:// or all with rediss://.')
  if (urls.slice(0, -1).some(({ pathname, search }) => pathname.replace('/', '') !== '' || search !== '')) throw new ConfigError('REDIS_URL', 'REDIS_URL must have what is not a host or a credential at its end.')
  const path = last.pathname.replace(/^\//, '')
  const [name = '', number = ''] = kind === '+sentinel' ? path.split('/') : ['', path]
  if (kind === '+sentinel' && name === '') throw new ConfigError('REDIS_URL', 'REDIS_URL with +sentinel must end with the name of the master, such as redis+sentinel://host1:26379,host2:26379/mymaster.')
  if (!/^\d*$/.test(number)) throw new ConfigError('REDIS_URL', 'REDIS_URL must end with the number of a database, such as redis://localhost:6379/0, or with none.')
  if (given('REDIS_DB') && number !== '' && Number(number) !== REDIS_DB) {
    throw new ConfigError('REDIS_DB', `REDIS_DB=${REDIS_DB} and the ${number} in REDIS_URL disagree: give one of them.`)
  }
  const { username, password } = urls.find((url) => url.password !== '') ?? first
  if (REDIS_PASSWORD !== undefined && password !== '' && decodeURIComponent(password) !== REDIS_PASSWORD) {
    throw new ConfigError('REDIS_PASSWORD', 'REDIS_PASSWORD and the password in REDIS_URL disagree: give one of them.')
  }
  const login = {
    ...(given('REDIS_DB') && { db: REDIS_DB }),
    ...(REDIS_PASSWORD !== undefined && { password: REDIS_PASSWORD })
  }
  if (kind === undefined && urls.length === 1) return { url: REDIS_URL, ...login }

  const isSentinel = kind === '+sentinel'
  if (!isSentinel && (Number(number) !== 0 || REDIS_DB !== 0)) throw new ConfigError('REDIS_DB', 'REDIS_DB, and the number in REDIS_URL, must be 0 or left out for a Redis Cluster: it has no other database.')
  const sentinelPassword = last.searchParams.get('sentinel_password')
  return {
    url: REDIS_URL,
    ...(isSentinel && number !== '' && { db: Number(number) }),
    ...(username !== '' && { username: decodeURIComponent(username) }),
    ...(password !== '' && { password: decodeURIComponent(password) }),
    ...login,
    several: {
      nodes: urls.map(({ hostname, port }) => ({ host: hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(port || (isSentinel ? 26_379 : 6379)) })),
      tls: scheme === 'rediss',
      ...(isSentinel && { master: decodeURIComponent(name) }),
      ...(sentinelPassword !== null && { sentinelPassword })
    }
  }
}

function misspelt (env: Given): string[] {
  return Object.keys(env).filter((name) => name.startsWith('CACHE_') && !Object.hasOwn(schemas, name)).map((name) => {
    const [nearest] = names.map((known) => ({ known, away: distance(name, known) })).sort((a, b) => a.away - b.away)
    return nearest && nearest.away <= 4 ? `${name} is not a setting: did you mean ${nearest.known}?` : `${name} is not a setting.`
  })
}

/** Levenshtein's: the edits that turn one word into the other. */
function distance (a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (const [j, other] of [...b].entries()) {
      next.push(Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (letter === other ? 0 : 1)))
    }
    row = next
  }
  return row.at(-1) ?? 0
}

function reason (error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return (code ?? message).split('\n')[0] as string
}
