import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { inspect } from 'node:util'
import t from 'tap'
import { loadConfig, readEnvironment } from '../config.js'
import { ConfigError } from '../config/fault.js'
import { initialSettings } from '../config/initial-settings.js'
import { maskUrl } from '../config/shown.js'
import { Environment, RunTimeSettings } from '../schemas/config.js'

type Given = Record<string, string>

/** What stops the start, as it would stand on stderr. */
function refusal (env: Given): { setting: string, message: string } {
  try {
    loadConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return { setting: error.setting, message: error.message }
    throw error
  }
  throw new Error(`accepted: ${JSON.stringify(env)}`)
}

const [KEY, OTHER_KEY] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')] as const

const COLLECTOR = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://localhost:4318' }

t.test('an empty environment', async (t) => {
  const { environment, ...config } = loadConfig({})
  t.ok(environment.every(({ isDefault }) => isDefault))
  t.same(config, {
    host: '127.0.0.1',
    port: 8000,
    logLevel: 'info',
    accessLog: true,
    metrics: true,
    performanceTracking: true,
    access: { required: false, everyoneIsLocal: false },
    valet: { algorithm: 'HS256', defaultTtl: 300 },
    auditRetention: 90,
    rateLimits: {
      requests: [{ quota: 6000, window: 60_000, name: 'per-minute' }],
      failedLogins: [{ quota: 60, window: 60_000, name: 'per-minute' }]
    },
    overload: { delay: 1000, concurrency: 10_000 },
    trustedProxies: [],
    webhooks: { hosts: [], addresses: [] },
    allowedOrigins: [],
    dataDir: './data',
    cache: {
      backend: 'memory',
      strategy: 'lru',
      maxMemory: 104_857_600,
      maxItems: 10_000,
      defaultTtl: 3600,
      cleanupInterval: 300,
      durableTier: 'database',
      writeBehind: { maxEntries: 100_000, maxBytes: 67_108_864 },
      maxKeyLength: 250,
      maxImportSize: 1_073_741_824,
      deadline: 200,
      fileSync: false
    },
    atRest: { serialization: 'json', compression: false, encryption: false },
    worker: true,
    workers: 1,
    shutdownDelay: 1000,
    eventClaimAfter: 30,
    warnings: []
  }, 'gives the documented defaults, and no URL, password, key or origin')
  t.same(loadConfig(Object.fromEntries(Object.keys(Environment.properties).map((name) => [name, '']))), loadConfig({}),
    'is the same as one of empty strings')
})

t.test('what is given', async (t) => {
  t.match(loadConfig({
    HOST: '::1',
    PORT: '0',
    LOG_LEVEL: 'silent',
    CACHE_ACCESS_LOG_ENABLED: '0',
    CACHE_METRICS_ENABLED: 'false',
    CACHE_PERFORMANCE_TRACKING: 'false',
    CACHE_BACKEND: 'redis',
    CACHE_STRATEGY: 'lfu',
    CACHE_MAX_MEMORY: '1000',
    CACHE_MAX_ITEMS: ' 10 ',
    CACHE_DEFAULT_TTL: '0.5',
    CACHE_CLEANUP_INTERVAL: '1',
    CACHE_MAX_KEY_LENGTH: '1000',
    REDIS_URL: 'rediss://localhost:6380',
    REDIS_DB: '2',
    REDIS_PASSWORD: 'p',
    DATABASE_URL: 'postgresql://user:p@localhost/larder',
    MEMCACHED_URL: 'memcached://localhost:11211',
    SAMPLE_DATA: '1',
    DATA_DIR: '/somewhere',
    ALLOWED_ORIGINS: 'http://localhost:3000, https://example.com'
  }), {
    host: '::1',
    port: 0,
    logLevel: 'silent',
    accessLog: false,
    metrics: false,
    performanceTracking: false,
    cache: { backend: 'redis', strategy: 'lfu', maxMemory: 1000, maxItems: 10, defaultTtl: 0.5, cleanupInterval: 1, maxKeyLength: 1000, maxImportSize: 1_073_741_824, deadline: 200 },
    redis: { url: 'rediss://localhost:6380', db: 2, password: 'p' },
    databaseUrl: 'postgresql://user:p@localhost/larder',
    memcachedUrl: 'memcached://localhost:11211',
    sampleData: true,
    dataDir: '/somewhere',
    allowedOrigins: ['http://localhost:3000', 'https://example.com']
  }, 'is read, with its type')
  t.strictSame(loadConfig({ REDIS_URL: 'redis://u:p%40@a:7000,redis://[::1]:7001' }).redis, {
    url: 'redis://u:p%40@a:7000,redis://[::1]:7001', username: 'u', password: 'p@', several: { nodes: [{ host: 'a', port: 7000 }, { host: '::1', port: 7001 }], tls: false }
  }, 'a list is a cluster')
  t.match(loadConfig({ REDIS_URL: 'rediss+cluster://a:7000', REDIS_PASSWORD: 'p' }).redis, { password: 'p', several: { nodes: [{ host: 'a', port: 7000 }], tls: true } })
  t.strictSame(loadConfig({ REDIS_URL: 'redis+sentinel://u:p@a:26379,b/mymaster/2?sentinel_password=q' }).redis, {
    url: 'redis+sentinel://u:p@a:26379,b/mymaster/2?sentinel_password=q',
    db: 2,
    username: 'u',
    password: 'p',
    several: { nodes: [{ host: 'a', port: 26379 }, { host: 'b', port: 26379 }], tls: false, master: 'mymaster', sentinelPassword: 'q' }
  })
  t.same(loadConfig({ REDIS_URL: 'redis://h/3' }).redis, { url: 'redis://h/3' }, 'the URL keeps what no other setting says')

  t.test('DB_* are read only together with DB_HOST', async (t) => {
    const parts = { DB_USER: 'u s', DB_PASSWORD: 'p@:/', DB_NAME: 'shop', DB_PORT: '6000' }
    const alone = loadConfig(parts)
    t.equal(alone.databaseUrl, undefined)
    t.same(alone.warnings, ['DB_PORT, DB_USER, DB_PASSWORD, DB_NAME: not used without DB_HOST.'])
    t.equal(loadConfig({ ...parts, DB_HOST: 'db' }).databaseUrl, 'postgres://u%20s:p%40%3A%2F@db:6000/shop')
    t.equal(loadConfig({ DB_HOST: '::1' }).databaseUrl, 'postgres://postgres@[::1]:5432/larder')
    const both = loadConfig({ DB_HOST: 'db', DATABASE_URL: 'postgres://other/x' })
    t.equal(both.databaseUrl, 'postgres://other/x')
    t.match(both.warnings, ['DB_HOST: not used, since DATABASE_URL is given.'])
  })

  t.test('every loopback address is accepted', async (t) => {
    for (const HOST of ['127.0.0.1', '127.8.9.1', '::1', '[::1]', '0:0:0:0:0:0:0:1', 'localhost', 'LOCALHOST']) {
      t.equal(loadConfig({ HOST }).host, HOST.replace(/[[\]]/g, '').replace(/localhost/i, '127.0.0.1'))
    }
  })
  t.equal(loadConfig({ HOST: '0.0.0.0', ALLOW_UNAUTHENTICATED: 'true' }).host, '0.0.0.0', 'others with ALLOW_UNAUTHENTICATED')

  t.equal(initialSettings(loadConfig({ CACHE_MAX_ITEMS: '7' }))['cache.memory.max_items'], 7)
  t.strictSame(Object.keys(initialSettings(loadConfig({}))).filter((name) => !(name in RunTimeSettings.properties)), [],
    'gives the run-time settings their first values')
})

t.test('the values that ask for nothing are accepted', async (t) => {
  for (const [name, values] of Object.entries({
    CACHE_AUTH_ENABLED: ['false', '0'],
    CACHE_COMPRESSION_ENABLED: ['false', 'true'],
    CACHE_ENCRYPTION_ENABLED: ['0'],
    CACHE_SERIALIZATION_FORMAT: ['json', 'cbor'],
    WORKERS: ['1'],
    SHUTDOWN_DELAY: ['0', '2.5'],
    WORKER: ['false', 'true'],
    EVENT_CLAIM_AFTER: ['1', '30', '3600']
  })) {
    for (const value of values) t.same(loadConfig({ [name]: value }).warnings, [], `${name}=${value}`)
  }
})

t.test('what does not validate is refused in one line that names it', async (t) => {
  const long = 'x'.repeat(500)
  const faults: [Given, string, RegExp][] = [
    // Not built yet.
    [{ CACHE_AUTH_ENABLED: 'true' }, 'CACHE_API_KEY', /needs an administrator/],
    [{ CACHE_AUTH_ENABLED: 'true', CACHE_API_KEY: 'your_cache_api_key' }, 'CACHE_API_KEY', /a sample that everybody has read/],
    [{ CACHE_BACKEND: 'memcached' }, 'CACHE_BACKEND', /give MEMCACHED_URL/],
    [{ CACHE_BACKEND: 'memcached', MEMCACHED_URL: 'memcached://h', CACHE_STRATEGY: 'lfu' }, 'CACHE_STRATEGY', /evicts by lru/],
    [{ CACHE_BACKEND: 'database', CACHE_STRATEGY: 'sieve' }, 'CACHE_STRATEGY', /nothing that CACHE_BACKEND=database can evict by: give one of lru, lfu, fifo, ttl/],
    [{ CACHE_STRATEGY: 'write_through', CACHE_BACKEND: 'redis', REDIS_URL: 'redis://localhost' }, 'CACHE_STRATEGY', /is for CACHE_BACKEND=memory/],
    [{ CACHE_STRATEGY: 'write_behind', CACHE_BACKEND: 'database' }, 'CACHE_STRATEGY', /give one of lru/],
    [{ CACHE_DURABLE_TIER: 'redis' }, 'CACHE_DURABLE_TIER', /database/],
    [{ CACHE_WRITE_BEHIND_MAX_ENTRIES: '0' }, 'CACHE_WRITE_BEHIND_MAX_ENTRIES', /1/],
    [{ WORKERS: '2', REDIS_URL: 'redis://h' }, 'WORKERS', /^WORKERS=2 [^\n]*DATABASE_URL/],
    [{ WORKERS: '2', DATABASE_URL: 'postgres://h/d' }, 'WORKERS', /^WORKERS=2 [^\n]*REDIS_URL/],
    ...['memory', 'file'].map((backend): [Given, string, RegExp] =>
      [{ WORKERS: '2', DATABASE_URL: 'postgres://h/d', REDIS_URL: 'redis://h', CACHE_BACKEND: backend }, 'CACHE_BACKEND', /with WORKERS=2 each process would have its own/]),
    [{ SHUTDOWN_DELAY: '-1' }, 'SHUTDOWN_DELAY', /from 0 to 300/],
    [{ WORKER: 'perhaps' }, 'WORKER', /true or false/],
    [{ SECRET_KEY: 'one,' }, 'SECRET_KEY', /the new one first/],
    [{ SECRET_KEY: 'one,one' }, 'SECRET_KEY', /the new one first/],
    [{ SECRET_KEY: 'one,change-me', CACHE_AUTH_ENABLED: 'true', CACHE_API_KEY: 'k'.repeat(20) }, 'SECRET_KEY', /a sample/],
    [{ VALET_TOKEN_TTL: '3601' }, 'VALET_TOKEN_TTL', /from 1 to 3600/],
    [{ VALET_ALGORITHM: 'none' }, 'VALET_ALGORITHM', /one of HS256, EdDSA/],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'localhost:4318' }, 'OTEL_EXPORTER_OTLP_ENDPOINT', /begins with http:\/\/ or https:\/\//],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'grpc://localhost:4317' }, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', /begins with http/],
    ...['http://user:hunter2@localhost:4318', 'http://localhost:4318?key=hunter2'].map((url): [Given, string, RegExp] =>
      [{ OTEL_EXPORTER_OTLP_ENDPOINT: url }, 'OTEL_EXPORTER_OTLP_ENDPOINT', /^(?!.*hunter2).*put what the collector asks for into OTEL_EXPORTER_OTLP_HEADERS/]),
    ...['hunter2', '=hunter2', 'name=%zz', 'a b=hunter2', 'name=hunter2%0d%0ax: y'].map((headers): [Given, string, RegExp] =>
      [{ OTEL_EXPORTER_OTLP_HEADERS: headers }, 'OTEL_EXPORTER_OTLP_HEADERS', /^(?!.*hunter2).*name=value, with commas between/]),
    [{ OTEL_RESOURCE_ATTRIBUTES: 'team' }, 'OTEL_RESOURCE_ATTRIBUTES', /name=value/],
    [{ OTEL_TRACES_SAMPLER: 'jaeger_remote' }, 'OTEL_TRACES_SAMPLER', /one of always_on, /],
    [{ OTEL_TRACES_SAMPLER_ARG: '1.5' }, 'OTEL_TRACES_SAMPLER_ARG', /from 0 to 1/],
    ...['10', '/hour', '0/hour', '-1/hour', '1.5/hour', '10/fortnight', '10/hour,', '10 hour', '10/hour, 5/hour', '1/s,1/m,1/h,1/d,1/month', '9999999/second', '1/2 years']
      .map((text): [Record<string, string>, string, RegExp] => [{ RATE_LIMITS: text }, 'RATE_LIMITS', /^RATE_LIMITS (?:must|limits|holds)[^\n]*\.$/]),
    [{ FAILED_LOGIN_LIMITS: 'none' }, 'FAILED_LOGIN_LIMITS', /like 10\/hour/],
    ...['true', '1', '2', 'loopback', '10.0.0.0/33', '10.0.0.0/0', '::/0', '10.0.0.1/8/8', 'proxy.example', '10.0.0.1, 300.1.1.1']
      .map((text): [Record<string, string>, string, RegExp] => [{ TRUSTED_PROXIES: text }, 'TRUSTED_PROXIES', /must list addresses and networks/]),
    ...['https://example.com', '10.0.0.1', 'a b', '*.*.example.org'].map((text): [Record<string, string>, string, RegExp] => [{ WEBHOOK_HOSTS: text }, 'WEBHOOK_HOSTS', /must list names of hosts/]),
    ...['example.com', '10.0.0.0/33', '10.0.0'].map((text): [Record<string, string>, string, RegExp] => [{ WEBHOOK_ADDRESSES: text }, 'WEBHOOK_ADDRESSES', /must list addresses and networks/]),
    // Wrong type, word or range.
    [{ PORT: 'http' }, 'PORT', /whole number from 0 to 65535, not "http"/],
    [{ PORT: '65536' }, 'PORT', /65535/],
    [{ PORT: '-1' }, 'PORT', /from 0/],
    [{ PORT: '80.5' }, 'PORT', /whole/],
    [{ PORT: '0x50' }, 'PORT', /whole/],
    [{ CACHE_MAX_ITEMS: '0' }, 'CACHE_MAX_ITEMS', /from 1/],
    [{ CACHE_MAX_MEMORY: '100MB' }, 'CACHE_MAX_MEMORY', /whole number/],
    [{ CACHE_DEFAULT_TTL: 'NaN' }, 'CACHE_DEFAULT_TTL', /a number from 0/],
    [{ CACHE_DEFAULT_TTL: '1e999' }, 'CACHE_DEFAULT_TTL', /a number from 0/],
    [{ CACHE_CLEANUP_INTERVAL: '0' }, 'CACHE_CLEANUP_INTERVAL', /from 1/],
    [{ CACHE_MAX_KEY_LENGTH: '1001' }, 'CACHE_MAX_KEY_LENGTH', /to 1000/],
    [{ CACHE_METRICS_ENABLED: 'yes' }, 'CACHE_METRICS_ENABLED', /true or false, not "yes"/],
    [{ CACHE_STRATEGY: 'LRU' }, 'CACHE_STRATEGY', /one of lru, lfu/],
    [{ LOG_LEVEL: 'loud\nline' }, 'LOG_LEVEL', /one of fatal/],
    [{ CACHE_BACKEND: long }, 'CACHE_BACKEND', /…/],
    // Addresses.
    [{ HOST: '0.0.0.0' }, 'HOST', /ALLOW_UNAUTHENTICATED=true/],
    [{ HOST: '::' }, 'HOST', /ALLOW_UNAUTHENTICATED=true/],
    [{ HOST: '192.168.0.1' }, 'HOST', /ALLOW_UNAUTHENTICATED=true/],
    [{ HOST: 'larder.example.com' }, 'HOST', /ALLOW_UNAUTHENTICATED=true/],
    [{ HOST: 'localhost.example.com' }, 'HOST', /ALLOW_UNAUTHENTICATED=true/],
    [{ HOST: 'http://localhost' }, 'HOST', /without scheme or port/],
    [{ HOST: '127.0.0.1:8000', ALLOW_UNAUTHENTICATED: 'true' }, 'HOST', /without scheme or port/],
    [{ DATABASE_URL: 'sqlite:///./cache.db' }, 'DATABASE_URL', /SQLite is not supported/],
    [{ DATABASE_URL: 'mysql://localhost' }, 'DATABASE_URL', /like postgres:\/\//],
    [{ DATABASE_URL: 'postgres://u:s3cret@h:port/db' }, 'DATABASE_URL', /not a valid URL/],
    [{ DB_HOST: 'a b' }, 'DB_HOST', /host name/],
    [{ REDIS_URL: 'http://localhost:6379' }, 'REDIS_URL', /like redis:\/\//],
    [{ REDIS_URL: 'localhost:6379' }, 'REDIS_URL', /like redis:\/\//],
    [{ REDIS_URL: 'redis://:s3cret@h:x' }, 'REDIS_URL', /not a valid URL/],
    [{ REDIS_URL: 'redis://h/db' }, 'REDIS_URL', /number of a database/],
    [{ REDIS_URL: 'redis://h/1', REDIS_DB: '2' }, 'REDIS_DB', /disagree/],
    [{ REDIS_URL: 'redis://:s3cret@h', REDIS_PASSWORD: 's3cret2' }, 'REDIS_PASSWORD', /disagree/],
    [{ REDIS_URL: 'redis://a:1,rediss://b:2' }, 'REDIS_URL', /all with redis/],
    [{ REDIS_URL: 'redis://a:1,redis://b:2/1' }, 'REDIS_DB', /no other database/],
    [{ REDIS_URL: 'redis://a:1,redis://b:2', REDIS_DB: '1' }, 'REDIS_DB', /no other database/],
    [{ REDIS_URL: 'redis+sentinel://a:1,b:2' }, 'REDIS_URL', /name of the master/],
    [{ REDIS_URL: 'redis+sentinel://a:1,b:2/m/x' }, 'REDIS_URL', /number of a database/],
    [{ REDIS_URL: 'redis+other://a:1' }, 'REDIS_URL', /like redis:/],
    [{ CACHE_BACKEND: 'redis' }, 'CACHE_BACKEND', /give REDIS_URL/],
    [{ MEMCACHED_URL: 'localhost:11211' }, 'MEMCACHED_URL', /like memcached:\/\//],
    [{ MEMCACHED_URL: 'memcached://h:x' }, 'MEMCACHED_URL', /not a valid URL/],
    [{ ALLOWED_ORIGINS: '*' }, 'ALLOWED_ORIGINS', /list the origins/],
    [{ ALLOWED_ORIGINS: 'https://example.com/' }, 'ALLOWED_ORIGINS', /without path/],
    [{ ALLOWED_ORIGINS: 'example.com' }, 'ALLOWED_ORIGINS', /like https:\/\//],
    // What entries are encrypted with.
    [{ CACHE_SERIALIZATION_FORMAT: 'msgpack' }, 'CACHE_SERIALIZATION_FORMAT', /one of json, cbor/],
    [{ CACHE_ENCRYPTION_ENABLED: '1' }, 'CACHE_ENCRYPTION_KEY', /CACHE_ENCRYPTION_ENABLED=true needs CACHE_ENCRYPTION_KEY: .*openssl rand -base64 32/],
    ...[
      ['s3cret', /can be guessed \(it needs 20 characters/],
      ['s3crets3crets3crets3crets3cret', /can be guessed/],
      ['your-s3cret-encryption-key-here', /can be guessed/],
      ['s3cret and more words: than one', /colon/],
      [Buffer.alloc(32).toString('base64'), /not random/],
      ['00ff'.repeat(16), /not random/],
      [Buffer.from('0123456789abcdef').toString('base64'), /another length than 32 bytes/],
      ['0123456789abcdef'.repeat(2), /another length than 32 bytes/],
      [`${KEY},${OTHER_KEY}`, /several keys, which need names/],
      [`a:${KEY},${OTHER_KEY}`, /several keys, which need names/],
      [`a:${KEY},a:${OTHER_KEY}`, /two keys named a/],
      [`a:${KEY},b:${KEY}`, /the same key twice/],
      [`a:${KEY},b:`, /can be guessed/],
      [`a:${KEY},`, /names/]
    ].map(([CACHE_ENCRYPTION_KEY, message]) => [{ CACHE_ENCRYPTION_KEY }, 'CACHE_ENCRYPTION_KEY', message] as [Given, string, RegExp]),
    // Files.
    [{ TLS_CERT_FILE: 'a.pem' }, 'TLS_KEY_FILE', /give both, or neither/],
    [{ TLS_KEY_FILE: 'a.pem' }, 'TLS_CERT_FILE', /give both, or neither/],
    [{ TLS_CERT_FILE: '/nowhere/a.pem', TLS_KEY_FILE: '/nowhere/b.pem' }, 'TLS_CERT_FILE', /ENOENT/]
  ]
  for (const [env, setting, message] of faults) {
    const fault = refusal(env)
    const shown = JSON.stringify(env).slice(0, 80)
    t.equal(fault.setting, setting, shown)
    t.match(fault.message, message, shown)
    t.ok(fault.message.includes(setting), `names ${setting}`)
    t.notMatch(fault.message, /\n/, 'in one line')
    t.ok(fault.message.length < 300, 'that fits a terminal')
    t.notMatch(fault.message, /s3cret/, 'without a secret')
    t.notOk(fault.message.includes(KEY.slice(0, 8)))
  }
})

t.test('keys of the encryption', async (t) => {
  const keysIn = (CACHE_ENCRYPTION_KEY: string) => loadConfig({ CACHE_ENCRYPTION_KEY, CACHE_ENCRYPTION_ENABLED: 'true' }).atRest.keys ?? []
  for (const text of [KEY, Buffer.from(KEY, 'base64').toString('hex'), Buffer.from(KEY, 'base64').toString('base64url'), ` ${KEY} `]) {
    const [key] = keysIn(text)
    t.equal((await key!.key()).export().toString('base64'), KEY)
    t.equal(key!.id, undefined)
  }
  t.strictSame(keysIn(`2026-new:${KEY}, 2025.old:${OTHER_KEY}`).map(({ id }) => id), ['2026-new', '2025.old'], 'in the order given')
  const [one, same, other] = await Promise.all(['tea-for-two at half past four', 'a:tea-for-two at half past four', 'tea-for-two at half past five']
    .map(async (words) => (await keysIn(words)[0]!.key()).export().toString('hex')))
  t.equal(one, same, 'a passphrase is the same key in every process')
  t.not(one, other)
  const config = loadConfig({ CACHE_ENCRYPTION_KEY: `a:${KEY},b:tea-for-two at half past four` })
  t.notMatch(`${inspect(config, { depth: 9, showHidden: true })}${JSON.stringify(config)}`, new RegExp(`${KEY.slice(0, 8)}|tea-for`), 'show nowhere')
})

t.test('TLS files are looked at', async (t) => {
  const folder = t.testdir({ 'text.pem': 'not PEM' })
  const pair = (name: string) => {
    const [certFile, keyFile] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)]
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1',
      '-subj', '/CN=localhost', '-keyout', keyFile, '-out', certFile], { stdio: 'ignore' })
    return { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile }
  }
  const [one, other] = [pair('one'), pair('other')]
  t.same(loadConfig(one).tls, { certFile: one.TLS_CERT_FILE, keyFile: one.TLS_KEY_FILE })
  t.match(refusal({ ...one, TLS_KEY_FILE: other.TLS_KEY_FILE }), { setting: 'TLS_KEY_FILE', message: /not the key of TLS_CERT_FILE/ })
  t.match(refusal({ ...one, TLS_KEY_FILE: join(folder, 'text.pem') }), { setting: 'TLS_KEY_FILE', message: /PEM file/ })
  t.match(refusal({ ...one, TLS_CERT_FILE: folder }), { setting: 'TLS_CERT_FILE', message: /EISDIR/ })
})

t.test('what has no effect is said', async (t) => {
  const cases: [Given, RegExp][] = [
    [{ CACHE_AUTH_ENABLED: 'true', CACHE_API_KEY: 's3cret' }, /^CACHE_API_KEY has fewer than 16 characters/],
    [{ REDIS_PASSWORD: 's3cret' }, /not used without REDIS_URL/],
    [{ REDIS_DB: '1' }, /not used without REDIS_URL/],
    [{ CACHE_MAX_ITEM: '5' }, /^CACHE_MAX_ITEM is not a setting: did you mean CACHE_MAX_ITEMS\?$/],
    [{ CACHE_DEFAULT_TLL: '5' }, /did you mean CACHE_DEFAULT_TTL\?/],
    [{ CACHE_SOMETHING_ELSE_ALTOGETHER: '5' }, /^CACHE_SOMETHING_ELSE_ALTOGETHER is not a setting\.$/],
    [{ OTEL_EXPORTER_OTLP_HEADERS: 'x=s3cret' }, /^OTEL_EXPORTER_OTLP_HEADERS: not used without OTEL_EXPORTER_OTLP_ENDPOINT/],
    [{ ...COLLECTOR, OTEL_PROPAGATORS: 's3cret' }, /^OTEL_PROPAGATORS: not among Larder's settings/],
    [{ ...COLLECTOR, OTEL_TRACES_SAMPLER_ARG: '0.5' }, /^OTEL_TRACES_SAMPLER_ARG: not used with OTEL_TRACES_SAMPLER=parentbased_always_on/]
  ]
  for (const [env, message] of cases) {
    const { warnings } = loadConfig(env)
    t.match(warnings, [message])
    t.equal(warnings?.length, 1)
    t.notMatch(warnings, [/s3cret/])
  }
  t.same(loadConfig({ REDIS_DB: '0', npm_config_cache: 'x', HOME: '/', CACHED: '1' }).warnings, [], 'what means nothing is not')
})

t.test('traces', async (t) => {
  const tracing = (env: Given) => loadConfig({ ...COLLECTOR, ...env }).tracing
  t.same(tracing({}), { url: 'http://localhost:4318/v1/traces', headers: {}, resource: { 'service.name': 'larder' }, sampler: 'parentbased_always_on', ratio: 1 })
  const urls: [Given, string][] = [
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'https://c.example/otlp/' }, 'https://c.example/otlp/v1/traces'],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://c.example:1/mine' }, 'http://c.example:1/mine'],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: '', OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://c.example' }, 'http://c.example/']
  ]
  for (const [env, url] of urls) t.equal(tracing(env)?.url, url)
  t.same(tracing({ OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20a%3D, x-scope = b ,' })?.headers, { authorization: 'Bearer a=', 'x-scope': 'b' })
  t.same(tracing({ OTEL_RESOURCE_ATTRIBUTES: 'service.name=shop,team=caches%2C' })?.resource, { 'service.name': 'shop', team: 'caches,' })
  t.same(tracing({ OTEL_RESOURCE_ATTRIBUTES: 'service.name=shop', OTEL_SERVICE_NAME: 'larder' })?.resource, { 'service.name': 'larder' })
  t.match(tracing({ OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.25' }), { sampler: 'parentbased_traceidratio', ratio: 0.25 })
  t.equal(tracing({ OTEL_SDK_DISABLED: 'true' }), undefined)
  t.equal(loadConfig({ OTEL_SERVICE_NAME: 'shop' }).tracing, undefined)
  const shown = (env: Given, name: string) => loadConfig({ ...COLLECTOR, ...env }).environment.find((setting) => setting.name === name)?.value
  t.equal(shown({ OTEL_EXPORTER_OTLP_HEADERS: 'authorization=s3cret' }, 'OTEL_EXPORTER_OTLP_HEADERS'), '***')
  t.equal(shown({}, 'OTEL_EXPORTER_OTLP_ENDPOINT'), 'http://localhost:4318')
})

t.test('.env', async (t) => {
  const folder = t.testdir({
    file: { '.env': '\uFEFFPORT=9000\n# a comment\nCACHE_STRATEGY="lfu"\nLOG_LEVEL=debug\nHOST=127.0.0.2\n' },
    none: {},
    folder: { '.env': {} },
    wrong: { '.env': 'PORT=http\n' }
  })
  const read = (env: Given) => loadConfig(readEnvironment(join(folder, 'file'), env))
  t.match(read({}), { port: 9000, logLevel: 'debug', host: '127.0.0.2', cache: { strategy: 'lfu' } }, 'is read')
  t.match(read({ PORT: '9001' }), { port: 9001, logLevel: 'debug' }, 'loses to the environment')
  t.match(read({ PORT: '' }), { port: 8000, logLevel: 'debug' }, 'and to an empty variable, which stands for none')
  t.match(loadConfig(readEnvironment(join(folder, 'none'), {})), { port: 8000 }, 'may be missing')

  t.throws(() => readEnvironment(join(folder, 'folder'), {}), { message: /^\.env cannot be read \(EISDIR\)/, setting: '.env' }, 'must be readable')
  t.throws(() => loadConfig(readEnvironment(join(folder, 'wrong'), {})), { message: /^PORT/, setting: 'PORT' }, 'is checked like the environment')
})

t.test('a URL is shown without its password', async (t) => {
  t.equal(maskUrl('postgres://u:p@h:1/db'), 'postgres://u:***@h:1/db')
  t.equal(maskUrl('redis://:p%40@h'), 'redis://:***@h')
  t.equal(maskUrl('postgres://h/db?user=u&password=p&x=1'), 'postgres://h/db?user=u&password=***&x=1')
  t.equal(maskUrl('cannot reach postgres://u:a@b@h/db today'), 'cannot reach postgres://u:***@h/db today')
  t.equal(maskUrl('redis://h:6379/0'), 'redis://h:6379/0')
  t.equal(maskUrl('redis://u:a@h1:1,redis://u:b@h2:2'), 'redis://u:***@h1:1,redis://u:***@h2:2')
  t.notMatch(maskUrl('redis://u:s3cret@h1:1,u:s4cret@h2:2'), /s[34]cret/)
  t.equal(maskUrl('redis+sentinel://u:a@h1,h2/m?sentinel_password=b'), 'redis+sentinel://u:***@h1,h2/m?sentinel_password=***')
})
