import { Redis } from 'ioredis'
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import pg from 'pg'
import t from 'tap'
import { buildApp } from '../../app.js'
import { loadConfig } from '../../config.js'
import { eventually } from '../support/caches.js'
import { databaseUrl, memcachedUrl, redisUrl } from '../support/servers.js'
import { Api, startApp } from './cache/api.js'

const VALUE = Array.from({ length: 100 }, (_, id) => ({ id, name: `SECRET product ${id}` }))

void t.test('entries at rest', async (t) => {
  const folder = t.testdir({})
  const key = randomBytes(32).toString('base64')
  const env = { DATABASE_URL: await databaseUrl(t), REDIS_URL: await redisUrl(t), MEMCACHED_URL: await memcachedUrl(t), CACHE_ENCRYPTION_KEY: key }
  const one = await startApp(t, { ...env, DATA_DIR: join(folder, 'one') })
  const two = await startApp(t, { ...env, DATA_DIR: join(folder, 'two') })
  const client = new Redis(env.REDIS_URL)
  const pool = new pg.Pool({ connectionString: env.DATABASE_URL, max: 1 })
  t.teardown(async () => {
    client.disconnect()
    await pool.end()
  })
  const memcached = async (command: string, end: string): Promise<Buffer> => {
    const { hostname, port } = new URL(env.MEMCACHED_URL)
    const socket = connect(Number(port), hostname)
    socket.write(command)
    let answer = Buffer.alloc(0)
    for await (const bytes of socket) {
      answer = Buffer.concat([answer, bytes as Buffer])
      if (answer.subarray(-end.length).toString('latin1') === end) break
    }
    return answer
  }
  const bytesIn: Record<string, (name: string) => Promise<Buffer>> = {
    redis: async (name) => await client.getBuffer(`larder:api:entry:default:${name}`) as Buffer,
    database: async (name) => {
      const { rows: [row] } = await pool.query<{ head: Buffer, value: Buffer }>('SELECT head, value FROM cache_entries WHERE key = $1', [JSON.stringify(name)])
      return Buffer.concat([row!.head, row!.value])
    }
  }

  for (const [backend, bytes] of Object.entries(bytesIn)) {
    await t.test(`${backend}: switched on for one process, they are for the others within a second`, async (t) => {
      const [mine, theirs] = [new Api(one, backend, 'default'), new Api(two, backend, 'default')]
      const more = { metadata: { tags: ['SECRET-tag'], of: 'SECRET-meta' } }
      const plain = await mine.set('plain', VALUE, more)
      t.not((await bytes('plain')).indexOf('SECRET'), -1)

      const changed = await mine.post('/config', { compression_enabled: true })
      t.match(changed.body, { config: { compression_enabled: true, encryption_enabled: false } })
      const compressed = await mine.set('compressed', VALUE, more)
      t.ok(compressed.body.size < plain.body.size / 3)
      t.equal((await bytes('compressed')).indexOf('SECRET product 50'), -1)

      t.match((await mine.post('/config', { encryption_enabled: true })).body.backends, { [backend]: { compression_enabled: true, encryption_enabled: true } })
      await eventually(async () => (await theirs.get('/config')).body.config.encryption_enabled, 'the other process knows', 5000)
      await theirs.set('sealed', VALUE, more)
      t.equal((await bytes('sealed')).indexOf('SECRET'), -1)
      for (const name of ['plain', 'compressed', 'sealed']) {
        for (const api of [mine, theirs]) {
          const { body } = await api.read(name)
          t.strictSame(body.cache_item.value, VALUE)
          t.match(body.cache_item.metadata, more.metadata)
        }
      }
      const listed = (await theirs.get('/keys')).body.keys
      for (const { key, size } of listed) t.equal((await mine.read(key)).body.cache_item.size, size, `the size of ${key}`)
      t.equal((await mine.get('/stats')).body.statistics.total_memory_usage, listed.reduce((sum, { size }) => sum + size, 0))
      t.match((await mine.post('/increment', { key: 'n', by: 2 })).body, { value: 2 })
      t.match((await theirs.post('/increment', { key: 'n', by: 3 })).body, { value: 5 })
      t.equal((await mine.post('/invalidate', { tags: ['SECRET-tag'] })).body.deleted_count, 3)
      t.equal((await mine.get('/stats')).body.raw_stats['unreadable'], 0)

      await mine.post('/config', { compression_enabled: false, encryption_enabled: false })
      t.equal((await mine.read('n')).body.cache_item.value, 5, 'switched off, what was sealed is still read')
    })
  }

  await t.test('the application\'s own entries are sealed as those of redis are', async (t) => {
    await new Api(one, 'redis', 'default').post('/config', { encryption_enabled: true })
    await one.cache.getOrSet('own', () => 'SECRET')
    const [name] = await client.keys('larder:app:entry:*:own')
    t.equal((await client.getBuffer(name!) as Buffer).indexOf('SECRET'), -1)
  })

  await t.test('so are durable entries and their journal, and what files hold', async (t) => {
    const memory = new Api(one, 'memory', 'default')
    const file = new Api(one, 'file', 'default')
    await new Api(one, 'database', 'default').post('/config', { encryption_enabled: true })
    await file.post('/config', { encryption_enabled: true })
    const more = { metadata: { tags: ['SECRET-tag'] } }
    for (const strategy of ['write_through', 'write_behind']) t.equal((await memory.set(`durable-${strategy}`, VALUE, { strategy, ...more })).status, 200)
    t.equal((await file.set('in-a-file', VALUE, more)).status, 200)
    await eventually(async () => (await pool.query('SELECT 1 FROM cache_durable')).rows.length === 2, 'both are in the database')
    const { rows } = await pool.query<Record<string, unknown>>('SELECT * FROM cache_durable')
    const bytes = Buffer.concat(rows.flatMap((row) => Object.values(row).map((value) => Buffer.isBuffer(value) ? value : Buffer.from(String(value)))))
    t.not(bytes.indexOf('durable-write_behind'), -1)
    t.equal(bytes.indexOf('SECRET'), -1)
    let files = 0
    for (const entry of readdirSync(join(folder, 'one'), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      files++
      t.equal(readFileSync(join(entry.parentPath, entry.name)).indexOf('SECRET'), -1, entry.name)
    }
    t.ok(files > 3, 'journal and tables')
    t.strictSame((await file.read('in-a-file')).body.cache_item.value, VALUE)
    t.strictSame((await memory.read('durable-write_through')).body.cache_item.value, VALUE)
    await new Api(one, 'database', 'default').post('/config', { encryption_enabled: false })
    await file.post('/config', { encryption_enabled: false })
  })

  await t.test('so is what memcached holds', async (t) => {
    const api = new Api(one, 'memcached', 'default')
    await api.post('/config', { encryption_enabled: true })
    t.equal((await api.set('in-memcached', VALUE, { metadata: { tags: ['SECRET-tag'] } })).status, 200)
    const names = [...(await memcached('lru_crawler metadump all\r\n', 'END\r\n')).toString('latin1').matchAll(/^key=(\S+)/gm)].map((match) => decodeURIComponent(match[1] as string))
    t.ok(names.length > 0)
    const held = await Promise.all(names.map(async (name) => await memcached(`get ${name}\r\n`, 'END\r\n')))
    t.ok(held.some((bytes) => bytes.length > JSON.stringify(VALUE).length), 'the value is among them')
    for (const bytes of held) t.equal(bytes.indexOf('SECRET'), -1)
    t.strictSame((await new Api(two, 'memcached', 'default').read('in-memcached')).body.cache_item.value, VALUE)
    await api.post('/config', { encryption_enabled: false })
  })

  await t.test('what cannot be read is a miss that statistics and metrics count', async (t) => {
    await new Api(one, 'redis', 'default').set('tampered', 'value')
    const name = 'larder:api:entry:default:tampered'
    await client.setrange(name, await client.strlen(name) - 1, 'x')
    const theirs = new Api(two, 'redis', 'default')
    t.equal((await theirs.read('tampered')).body.found, false)
    t.equal((await theirs.get('/stats')).body.raw_stats['unreadable'], 1)
    t.match((await two.inject('/metrics')).body, /larder_cache_unreadable_total\{backend="redis"\} 1/)
  })

  await t.test('a process without the key does not start where entries are to be encrypted', async (t) => {
    const { CACHE_ENCRYPTION_KEY: _, ...keyless } = env
    const app = buildApp(loadConfig({ ...keyless, DATA_DIR: join(folder, 'three'), LOG_LEVEL: 'silent' }))
    await t.rejects(app, { message: /cache\.redis\.encryption_enabled is true, and there is no key: set CACHE_ENCRYPTION_KEY/ })
  })

  await t.test('and one that runs stores nothing, rather than in plain', async (t) => {
    const { CACHE_ENCRYPTION_KEY: _, ...keyless } = env
    await new Api(one, 'redis', 'default').post('/config', { encryption_enabled: false })
    const app = await startApp(t, { ...keyless, DATA_DIR: join(folder, 'four') })
    const lame = new Api(app, 'redis', 'default')
    t.equal((await lame.set('plain', 'SECRET')).status, 200)
    await new Api(one, 'redis', 'default').post('/config', { encryption_enabled: true })
    await eventually(async () => (await lame.get('/config')).body.config.encryption_enabled, 'it knows', 5000)
    t.match(await lame.set('never', 'SECRET'), { status: 503, body: { detail: /this process has no key: set CACHE_ENCRYPTION_KEY/ } })
    t.equal(await client.exists('larder:api:entry:default:never'), 0)
    t.equal((await lame.read('plain')).body.cache_item.value, 'SECRET', 'what is in plain it can read')
    t.equal(await app.cache.getOrSet('carries-on', () => 'value'), 'value', 'and the application goes on')
  })

  await t.test('the key is shown nowhere', async (t) => {
    for (const url of ['/api/cache/config', '/openapi.json', '/health/ready', '/metrics', '/api/cache/stats']) {
      t.equal((await one.inject(url)).body.includes(key.slice(0, 12)), false, url)
    }
  })
})

void t.test('what cannot be read is absent, also to who writes only where nothing is', async (t) => {
  const folder = t.testdir({})
  const env = { DATABASE_URL: await databaseUrl(t), REDIS_URL: await redisUrl(t), MEMCACHED_URL: await memcachedUrl(t), CACHE_ENCRYPTION_ENABLED: 'true' }
  const [key, another] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')]
  const one = await startApp(t, { ...env, CACHE_ENCRYPTION_KEY: key, DATA_DIR: join(folder, 'one') })
  const other = await startApp(t, { ...env, CACHE_ENCRYPTION_KEY: another, DATA_DIR: join(folder, 'other') })
  const client = new Redis(env.REDIS_URL)
  t.teardown(() => { client.disconnect() })

  for (const backend of ['redis', 'database', 'memcached']) {
    await t.test(`${backend}: sealed under another key`, async (t) => {
      const [mine, theirs] = [new Api(one, backend, 'default'), new Api(other, backend, 'default')]
      for (const key of ['counter', 'kept', 'leased']) t.equal((await theirs.set(key, 7, { metadata: { tags: ['t'] } })).status, 200)
      t.match((await mine.read('counter')).body, { found: false })
      t.match(await mine.post('/increment', { key: 'counter', by: 2 }), { status: 200, body: { value: 2 } })
      t.equal((await mine.set('kept', 1, {}, { 'if-none-match': '*' })).status, 200)
      t.equal((await mine.set('kept', 2, {}, { 'if-none-match': '*' })).status, 412)
      t.match((await mine.read('kept')).body, { cache_item: { value: 1 } })
      const { token } = ((await mine.get('/get/leased', { lease: 20 })).body as unknown as { lease: { token: string } }).lease
      t.equal((await mine.set('leased', 3, { lease: token })).status, 200)
      t.match((await mine.read('leased')).body, { cache_item: { value: 3 } })
    })
  }

  await t.test('a header with numbers that make no sense', async (t) => {
    const twin = await startApp(t, { ...env, CACHE_ENCRYPTION_KEY: key, DATA_DIR: join(folder, 'twin') })
    const [mine, fresh] = [new Api(one, 'redis', 'headers'), new Api(twin, 'redis', 'headers')]
    await mine.set('sound', 1)
    t.match(await fresh.read('sound'), { body: { found: true } })
    t.equal((await mine.delete('/delete/sound')).status, 200)
    for (const [at, number] of [[48, NaN], [48, 1e300], [48, -Infinity], [32, NaN], [40, NaN], [64, NaN], [24, 1e17]] as const) {
      await mine.set('k', 1)
      const bytes = Buffer.alloc(8)
      bytes.writeDoubleLE(number)
      await client.setrange('larder:api:entry:headers:k', at, bytes)
      t.match(await fresh.read('k'), { status: 200, body: { found: false } }, `${number} at ${at}`)
      t.match(await fresh.get('/keys'), { status: 200, body: { total_keys: 0 } })
    }
  })
})
