import { Type, type Static, type TSchema } from '@sinclair/typebox'

/** Where a setting stands in the README's table. */
export type SettingGroup = 'Server' | 'Storage' | 'Cache' | 'Monitoring' | 'Security' | 'Processes'

/** What a setting carries beyond JSON Schema. */
export interface SettingNotes {
  group: SettingGroup
  description: string
  /** Never shown: not in messages, not in logs, not over HTTP. A URL is shown without its password. */
  secret?: boolean
  /** The values that work so far, when the type allows more. Any other value stops the start. */
  built?: readonly (string | number | boolean)[]
}

const words = <const Words extends readonly string[]>(values: Words, options: SettingNotes & { default?: Words[number] }) =>
  Type.Union(values.map((value) => Type.Literal<Words[number]>(value)), options)
const text = (options: SettingNotes & { default?: string, pattern?: string, examples?: string[] }) =>
  Type.String({ minLength: 1, ...options })
const flag = (options: SettingNotes & { default?: boolean }) => Type.Boolean(options)
const whole = (minimum: number, maximum: number, options: SettingNotes & { default?: number }) =>
  Type.Integer({ minimum, maximum, ...options })

const DAY = 86_400
const TEBIBYTE = 2 ** 40
/** The longest TTL, in seconds: a hundred years. */
export const MAX_TTL = 3_155_760_000

/** What a namespace may be called. */
export const NAMESPACE = '^[A-Za-z0-9_.-]{1,64}$'

/** The eviction policies, as in `services/cache/policies`. A new policy is a word here. */
export const Strategies = ['lru', 'lfu', 'fifo', 'ttl', 'sieve', 's3fifo', 'adaptive'] as const
/** Those of the memory backend: with the ones that write to the durable tier as well. */
export const MemoryStrategies = [...Strategies, 'write_through', 'write_behind'] as const
/** Those that the database can evict by. */
export const DatabaseStrategies = ['lru', 'lfu', 'fifo', 'ttl'] as const
/** Those that redis can evict by, once it has limits; without, `lru` alone. */
export const RedisStrategies = ['lru', 'lfu', 'fifo', 'ttl'] as const
/** Which traces are kept, as the OpenTelemetry specification names it. */
export const TraceSamplers = ['always_on', 'always_off', 'traceidratio', 'parentbased_always_on', 'parentbased_always_off', 'parentbased_traceidratio'] as const
export const LogLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

/**
 * Every environment variable that Larder reads, in the order of the README's table, which is made from this.
 * A property that is optional here has no default: absent means that the thing is not used.
 */
export const Environment = Type.Object({
  HOST: text({ group: 'Server', default: '127.0.0.1', description: 'Address to listen on. `localhost` is 127.0.0.1. Anything but a loopback address needs `CACHE_AUTH_ENABLED=true`, or `ALLOW_UNAUTHENTICATED=true`.' }),
  PORT: whole(0, 65_535, { group: 'Server', default: 8000, description: 'Port to listen on; 0 takes a free one.' }),
  TLS_CERT_FILE: Type.Optional(text({ group: 'Server', description: 'PEM file with the certificate chain. With `TLS_KEY_FILE`, Larder serves HTTPS.' })),
  TLS_KEY_FILE: Type.Optional(text({ group: 'Server', description: 'PEM file with the private key of `TLS_CERT_FILE`.' })),
  ALLOWED_ORIGINS: Type.Optional(text({ group: 'Server', examples: ['http://localhost:3000,https://example.com'], description: 'Origins whose pages may call Larder (CORS), separated by commas.' })),
  OVERLOAD_DELAY: whole(0, 600_000, { group: 'Server', default: 1000, description: 'Milliseconds by which the process may be late for some time before it turns requests away with 503: exports, batches and the like first, reads and writes at twice as many, invalidations at four times, probes never. 0 never does.' }),
  MAX_CONCURRENT_REQUESTS: whole(1, 1_000_000, { group: 'Server', default: 10_000, description: 'Requests under way at once in one process; exports, batches and the like may make it half as many.' }),

  DATA_DIR: text({ group: 'Storage', default: './data', description: 'Folder of the embedded PostgreSQL, of the `file` backend, and of the journal of `write_behind`. For one process.' }),
  DATABASE_URL: Type.Optional(text({ group: 'Storage', secret: true, pattern: '^postgres(ql)?://', examples: ['postgres://user:password@localhost:5432/larder'], description: 'PostgreSQL server. Absent: an embedded PostgreSQL under `DATA_DIR`, for one process.' })),
  DB_HOST: Type.Optional(text({ group: 'Storage', description: 'With the next four, another way to write `DATABASE_URL`.' })),
  DB_PORT: whole(1, 65_535, { group: 'Storage', default: 5432, description: 'Read only together with `DB_HOST`.' }),
  DB_USER: text({ group: 'Storage', default: 'postgres', description: 'Read only together with `DB_HOST`.' }),
  DB_PASSWORD: Type.Optional(text({ group: 'Storage', secret: true, description: 'Read only together with `DB_HOST`.' })),
  DB_NAME: text({ group: 'Storage', default: 'larder', description: 'Read only together with `DB_HOST`.' }),
  SAMPLE_DATA: Type.Optional(flag({ group: 'Storage', description: 'Put the sample users, posts and products in. Absent: once, into a new embedded database.' })),
  REDIS_URL: Type.Optional(text({ group: 'Storage', secret: true, pattern: '^rediss?(\\+(cluster|sentinel))?://', examples: ['redis://localhost:6379'], description: 'Redis (or Valkey) server. Several of a Redis Cluster: `redis://host1:7000,redis://host2:7000`. Sentinels: `redis+sentinel://user:password@host1:26379,host2:26379/mymaster`. With TLS: `rediss`. Absent: everything runs in one process without it.' })),
  REDIS_DB: whole(0, 65_535, { group: 'Storage', default: 0, description: 'Number of the Redis database.' }),
  REDIS_PASSWORD: Type.Optional(text({ group: 'Storage', secret: true, description: 'Password of the Redis server, unless `REDIS_URL` has it.' })),
  MEMCACHED_URL: Type.Optional(text({ group: 'Storage', secret: true, pattern: '^memcached://', examples: ['memcached://localhost:11211'], description: 'Memcached server, for the `memcached` backend. The order of its entries and their invalidations are kept in Redis, or without Redis in PostgreSQL.' })),

  CACHE_BACKEND: words(['memory', 'redis', 'memcached', 'database', 'file'], { group: 'Cache', default: 'memory', description: 'Backend of requests that name none.' }),
  CACHE_STRATEGY: words(MemoryStrategies, { group: 'Cache', default: 'lru', description: 'Which entry goes first when a limit is reached. With `write_through` and `write_behind` the memory backend evicts as `lru`, and keeps entries in the durable tier as well.' }),
  CACHE_MAX_MEMORY: whole(1, TEBIBYTE, { group: 'Cache', default: 104_857_600, description: 'Bytes that the entries of a backend may take.' }),
  CACHE_MAX_ITEMS: whole(1, 1_000_000_000, { group: 'Cache', default: 10_000, description: 'Entries that a backend may hold.' }),
  CACHE_DEFAULT_TTL: Type.Number({ minimum: 0, maximum: MAX_TTL, default: 3600, group: 'Cache', description: 'Seconds that an entry lives when its writer names no TTL; 0 is for ever.' }),
  CACHE_CLEANUP_INTERVAL: whole(1, DAY, { group: 'Cache', default: 300, description: 'Seconds between sweeps for expired entries.' }),
  CACHE_DURABLE_TIER: words(['database', 'file'], { group: 'Cache', default: 'database', description: 'Where `write_through` and `write_behind` keep entries beyond memory: in the database, or in a file store under `DATA_DIR`.' }),
  CACHE_WRITE_BEHIND_MAX_ENTRIES: whole(1, 100_000_000, { group: 'Cache', default: 100_000, description: 'Keys that `write_behind` may have waiting for the durable tier; beyond, it answers 503.' }),
  CACHE_WRITE_BEHIND_MAX_BYTES: whole(1, TEBIBYTE, { group: 'Cache', default: 67_108_864, description: 'Bytes of their entries.' }),
  CACHE_MAX_KEY_LENGTH: whole(1, 1000, { group: 'Cache', default: 250, description: 'Bytes that a key may have.' }),
  CACHE_DEADLINE: whole(10, 1000, { group: 'Cache', default: 200, description: 'Milliseconds that Redis or memcached may be silent for before an operation of the cache is given up, the wait for its turn included. While it answers others, four times as many, behind up to five seconds for its turn.' }),
  CACHE_MAX_IMPORT_SIZE: whole(1, TEBIBYTE, { group: 'Cache', default: 1_073_741_824, description: 'Bytes that the file of an import may have. It passes through `DATA_DIR`.' }),
  CACHE_FILE_SYNC: flag({ group: 'Cache', default: false, description: 'Answer writes to the `file` backend only when the device has them: then they survive a loss of power, not just the end of the process.' }),
  CACHE_SERIALIZATION_FORMAT: words(['json', 'cbor'], { group: 'Cache', default: 'json', description: 'How values are stored outside the process; with `cbor` base64 becomes bytes.' }),
  CACHE_COMPRESSION_ENABLED: flag({ group: 'Cache', default: false, description: 'Compress values of a kilobyte and more outside the process. `compression_enabled` of a backend changes it at run time.' }),
  CACHE_ENCRYPTION_ENABLED: flag({ group: 'Cache', default: false, description: 'Encrypt values, tags and metadata outside the process. `encryption_enabled` of a backend changes it at run time.' }),
  CACHE_ENCRYPTION_KEY: Type.Optional(text({ group: 'Cache', secret: true, description: 'Key of the encryption: 32 bytes in base64 or hex, or a passphrase; or several keys, `id:key,id:key`, of which the first writes and all read (docs/encryption.md).' })),

  LOG_LEVEL: words(LogLevels, { group: 'Monitoring', default: 'info', description: 'Least important level that is logged.' }),
  CACHE_METRICS_ENABLED: flag({ group: 'Monitoring', default: true, description: 'Serve `GET /metrics`.' }),
  CACHE_ACCESS_LOG_ENABLED: flag({ group: 'Monitoring', default: true, description: 'Log a line for each request.' }),
  CACHE_PERFORMANCE_TRACKING: flag({ group: 'Monitoring', default: true, description: 'Measure how long cache operations take, for `/metrics` and for the percentiles of the analytics.' }),
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(text({ group: 'Monitoring', secret: true, examples: ['http://localhost:4318'], description: 'Where to send OpenTelemetry traces: the base URL of a collector that takes OTLP over HTTP; `/v1/traces` is added. Absent: nothing is traced, and nothing of OpenTelemetry is loaded (docs/tracing.md).' })),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: Type.Optional(text({ group: 'Monitoring', secret: true, examples: ['http://localhost:4318/v1/traces'], description: 'The same as a whole URL, to which nothing is added. Wins over `OTEL_EXPORTER_OTLP_ENDPOINT`.' })),
  OTEL_EXPORTER_OTLP_HEADERS: Type.Optional(text({ group: 'Monitoring', secret: true, examples: ['authorization=Bearer%20secret'], description: 'Headers for the collector, `name=value` separated by commas, values percent-encoded.' })),
  OTEL_SERVICE_NAME: text({ group: 'Monitoring', default: 'larder', description: 'What the service is called in traces.' }),
  OTEL_RESOURCE_ATTRIBUTES: Type.Optional(text({ group: 'Monitoring', examples: ['deployment.environment.name=production'], description: 'What traces say about the service beyond its name, `name=value` separated by commas, values percent-encoded.' })),
  OTEL_TRACES_SAMPLER: words(TraceSamplers, { group: 'Monitoring', default: 'parentbased_always_on', description: 'Which traces are kept. With `parentbased_` the caller’s decision holds where there is one.' }),
  OTEL_TRACES_SAMPLER_ARG: Type.Number({ minimum: 0, maximum: 1, default: 1, group: 'Monitoring', description: 'The share of traces that is kept, for `traceidratio` and `parentbased_traceidratio`.' }),
  OTEL_SDK_DISABLED: flag({ group: 'Monitoring', default: false, description: 'Trace nothing, whatever else is set.' }),

  ALLOW_UNAUTHENTICATED: flag({ group: 'Security', default: false, description: 'Treat every caller as a local one. Only behind something that lets in nobody else.' }),
  CACHE_AUTH_ENABLED: flag({ group: 'Security', default: false, description: 'Ask every caller for a credential. Without, callers on this machine may do everything but what recipes guard.' }),
  CACHE_API_KEY: Type.Optional(text({ group: 'Security', secret: true, description: 'The administrator’s API key: it may do everything. Needed with `CACHE_AUTH_ENABLED`.' })),
  SECRET_KEY: Type.Optional(text({ group: 'Security', secret: true, description: 'Secret under which the keys are sealed that valet keys are signed with; or several, `new,old`, of which the first seals and all open. Absent: one is made under `DATA_DIR`. All processes on one database need the same.' })),
  VALET_ALGORITHM: words(['HS256', 'EdDSA'], { group: 'Security', default: 'HS256', description: 'What valet keys are signed with: a shared secret, or Ed25519, whose public keys stand at `/.well-known/jwks.json`.' }),
  VALET_TOKEN_TTL: whole(1, 3600, { group: 'Security', default: 300, description: 'Seconds that a valet key lives when nobody says how long.' }),
  AUDIT_RETENTION: whole(1, 3650, { group: 'Security', default: 90, description: 'Days that entries of the audit log are kept.' }),
  RATE_LIMITS: text({ group: 'Security', default: '6000/minute', examples: ['10/hour'], description: 'Requests that one caller may make: `10/hour`, or several that hold together, `100/second, 6000/hour`. A caller is a credential, or an address without one. Shared by all processes over Redis; without it, or while it is away, of each process.' }),
  FAILED_LOGIN_LIMITS: text({ group: 'Security', default: '60/minute', examples: ['60/minute'], description: 'Credentials that do not hold which one address may present, and which may be presented of one key. What was valid lately is let through.' }),
  TRUSTED_PROXIES: Type.Optional(text({ group: 'Security', examples: ['10.0.0.0/8,192.0.2.7'], description: 'Addresses and networks of the proxies in front, separated by commas: what they say in `X-Forwarded-For` is believed. Nobody else is.' })),

  WEBHOOK_HOSTS: Type.Optional(text({ group: 'Security', examples: ['hooks.example.com,*.example.org'], description: 'Hosts that events may be sent to over HTTPS (`POST /webhooks`), separated by commas; `*.example.org` is all under it, `*` any that is public. Absent: nothing is sent.' })),
  WEBHOOK_ADDRESSES: Type.Optional(text({ group: 'Security', examples: ['10.1.2.0/24'], description: 'Addresses and networks that events may be sent to although they are not public, over plain HTTP as well, separated by commas.' })),

  WORKERS: whole(1, 1024, { group: 'Processes', default: 1, description: 'Processes that serve on the one port. More than one needs `REDIS_URL` and `DATABASE_URL`; the default backend is `redis` then, and there is no `memory` or `file` backend, as each process would have its own.' }),
  SHUTDOWN_DELAY: Type.Number({ minimum: 0, maximum: 300, group: 'Processes', default: 1, description: 'Seconds for which the service still answers after SIGTERM, with 503 at `/health/ready`, so that whoever sends requests here has time to see it. SIGINT does not wait.' }),
  WORKER: flag({ group: 'Processes', default: true, description: 'Do in this process what is to be done about events. Without, `npm run worker` does it in another.' }),
  EVENT_CLAIM_AFTER: whole(1, 3600, { group: 'Processes', default: 30, description: 'Seconds after which events that a worker has taken from Redis and not finished go to another.' })
}, { $id: 'Environment', additionalProperties: false })
export type Environment = Static<typeof Environment>

const limits = <Name extends typeof MemoryStrategies[number] = typeof Strategies[number]>(backend: string, strategies: readonly Name[] = Strategies as readonly string[] as readonly Name[]) => ({
  strategy: Type.Union(strategies.map((name) => Type.Literal(name)), { default: 'lru', description: `Which entry of ${backend} goes first when a limit is reached.` }),
  max_memory: Type.Integer({ minimum: 1, maximum: TEBIBYTE, default: 104_857_600, description: `Bytes that the entries of ${backend} may take.` }),
  max_items: Type.Integer({ minimum: 1, maximum: 1_000_000_000, default: 10_000, description: `Entries that ${backend} may hold.` }),
  default_ttl: Type.Number({ minimum: 0, maximum: MAX_TTL, default: 3600, description: 'Seconds that an entry lives when its writer names no TTL; 0 is for ever.' }),
  cleanup_interval: Type.Integer({ minimum: 1, maximum: DAY, default: 300, description: 'Seconds between sweeps for expired entries.' })
})
/** The same for a backend that may do without limits: null is none. */
const optional = <Name extends typeof Strategies[number]>(backend: string, strategies: readonly Name[]) => {
  const { max_memory: bytes, max_items: items, ...others } = limits(backend, strategies)
  const orNone = (schema: typeof bytes) => Type.Union([Type.Integer({ minimum: schema.minimum!, maximum: schema.maximum! }), Type.Null()], { default: null, description: `${schema.description} Null: as many as its server has room for.` })
  return { ...others, max_memory: orNone(bytes), max_items: orNone(items) }
}
const compression = Type.Boolean({ default: false, description: 'Whether values of a kilobyte and more are compressed when they are written.' })
const encryption = Type.Boolean({ default: false, description: 'Whether values, tags and metadata are encrypted when they are written.' })
const memory = limits('memory', MemoryStrategies)
const redis = optional('redis', RedisStrategies)
const memcached = limits('memcached')
const database = limits('database', DatabaseStrategies)
const file = limits('file')
/** Set through `/api/cache/config?namespace=`. */
const quotas = (backend: string) => Type.Record(Type.String({ pattern: NAMESPACE }), Type.Object({
  max_items: Type.Integer({ minimum: 1, maximum: 1_000_000_000 }),
  max_memory: Type.Integer({ minimum: 1, maximum: TEBIBYTE })
}, { additionalProperties: false }), { default: {}, description: `What is reserved in ${backend} for namespaces, by their names.` })
/** Beyond the schema, held to its parser: see `plugins/config-store.ts`. */
const rates = (fallback: string, what: string) => Type.String({
  minLength: 1, maxLength: 200, default: fallback, description: `${what}, as in \`10/hour\` or \`100/second, 6000/hour\`. Who has used up a quota has used up the one that takes its place.`
})
const ttl = (seconds: number, what: string) =>
  Type.Number({ minimum: 0, maximum: MAX_TTL, default: seconds, description: `Seconds that ${what} stays cached; 0 is for ever.` })

/**
 * The settings that may change while running, kept in the table `settings`. The environment gives the first value of
 * those that it names, the defaults here that of the others. How much Redis holds is its server's own setting, unless it gets limits here.
 */
export const RunTimeSettings = Type.Object({
  'log.level': Type.Union(LogLevels.map((name) => Type.Literal(name)), { default: 'info', description: 'Least important level that is logged.' }),
  'retry.attempts': Type.Integer({ minimum: 1, maximum: 10, default: 4, description: 'How often something that failed for a passing reason is tried in all; 1 is never again.' }),
  'retry.base_delay': Type.Number({ minimum: 0.001, maximum: 10, default: 0.05, description: 'Seconds before the second attempt, at most; twice as many before each further one.' }),
  'retry.max_delay': Type.Number({ minimum: 0.001, maximum: 60, default: 2, description: 'Seconds between two attempts, at most.' }),
  'retry.deadline': Type.Number({ minimum: 0.1, maximum: 30, default: 5, description: 'Seconds from the beginning of the first attempt after which none begins, nobody waits for a connection, and the outcome of a commit is not asked for any more.' }),
  'retry.trials': Type.Integer({ minimum: 1, maximum: 100, default: 3, description: 'How many operations in a row have to be answered before a breaker that opened is closed: the first alone, then as many at once as are still wanted.' }),
  'rate_limits.requests': rates('6000/minute', 'Requests that one caller may make, where its key has no limit of its own'),
  'rate_limits.failed_logins': rates('60/minute', 'Credentials that do not hold which one address may present'),
  'cache.memory.strategy': memory.strategy,
  'cache.memory.max_memory': memory.max_memory,
  'cache.memory.max_items': memory.max_items,
  'cache.memory.default_ttl': memory.default_ttl,
  'cache.memory.cleanup_interval': memory.cleanup_interval,
  'cache.memory.quotas': quotas('memory'),
  'cache.redis.strategy': redis.strategy,
  'cache.redis.max_memory': redis.max_memory,
  'cache.redis.max_items': redis.max_items,
  'cache.redis.default_ttl': redis.default_ttl,
  'cache.redis.cleanup_interval': redis.cleanup_interval,
  'cache.redis.quotas': quotas('redis'),
  'cache.redis.compression_enabled': compression,
  'cache.redis.encryption_enabled': encryption,
  'cache.memcached.default_ttl': memcached.default_ttl,
  'cache.memcached.cleanup_interval': memcached.cleanup_interval,
  'cache.memcached.compression_enabled': compression,
  'cache.memcached.encryption_enabled': encryption,
  'cache.database.strategy': database.strategy,
  'cache.database.max_memory': database.max_memory,
  'cache.database.max_items': database.max_items,
  'cache.database.default_ttl': database.default_ttl,
  'cache.database.cleanup_interval': database.cleanup_interval,
  'cache.database.quotas': quotas('database'),
  'cache.database.compression_enabled': compression,
  'cache.database.encryption_enabled': encryption,
  'cache.file.strategy': file.strategy,
  'cache.file.max_memory': file.max_memory,
  'cache.file.max_items': file.max_items,
  'cache.file.default_ttl': file.default_ttl,
  'cache.file.cleanup_interval': file.cleanup_interval,
  'cache.file.quotas': quotas('file'),
  'cache.file.compression_enabled': compression,
  'cache.file.encryption_enabled': encryption,
  'samples.items.list_ttl': ttl(30, 'the list of items'),
  'samples.items.item_ttl': ttl(60, 'an item'),
  'samples.products.list_ttl': ttl(300, 'the list of products'),
  'samples.products.product_ttl': ttl(600, 'a product'),
  'samples.recipes.list_ttl': ttl(60, 'the list of recipes'),
  'samples.recipes.recipe_ttl': ttl(60, 'a recipe'),
  'samples.users.user_ttl': ttl(120, 'a user'),
  'samples.posts.list_ttl': ttl(90, 'the list of posts')
}, { $id: 'RunTimeSettings', additionalProperties: false })
export type RunTimeSettings = Static<typeof RunTimeSettings>

/** A setting's schema together with its notes. */
export type Setting = TSchema & SettingNotes
