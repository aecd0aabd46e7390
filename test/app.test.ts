import { randomBytes } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { buildApp } from '../app.js'
import { loadConfig } from '../config.js'
import { databaseUrl } from './support/servers.js'
import { temporaryFolder } from './support/temporary-folder.js'

const url = await databaseUrl(t)

/** The whole service, as production has it, over the database of this file. */
async function start (t: Test, env: Record<string, string> = {}): Promise<FastifyInstance> {
  const app = await buildApp(loadConfig({ DATABASE_URL: url, DATA_DIR: temporaryFolder(t), LOG_LEVEL: 'silent', ...env }))
  t.teardown(() => app.close())
  return app
}

t.test('bodies are taken as sent, queries by their schema', async (t) => {
  const app = await start(t)
  const object = { type: 'object', additionalProperties: false, properties: { ttl: { type: 'number', maximum: 60 }, all: { type: 'boolean' }, word: { type: 'string' } } }
  app.post('/echo', { config: { scope: 'public' }, schema: { body: object, querystring: object } }, (request) => [request.body, request.query])
  const post = async (body: object, query = '') => {
    const { statusCode, json } = await app.inject({ method: 'POST', url: `/echo${query}`, body })
    return statusCode === 200 ? json<unknown>() : statusCode
  }
  t.strictSame(await post({ ttl: 1 }, '?ttl=0.5&all=true&word=Infinity'), [{ ttl: 1 }, { ttl: 0.5, all: true, word: 'Infinity' }])
  for (const ttl of [null, true, '60', [60]]) t.equal(await post({ ttl }), 400, `a TTL of ${JSON.stringify(ttl)} is no number`)
  t.equal(await post({ ttl: 1, extra: 1 }), 400, 'an unknown field is a fault')
  t.equal(await post({}, '?extra=1'), 400, 'so is an unknown parameter')
  for (const ttl of ['soon', 'NaN', '61', '1e400', '-1e400', 'Infinity']) t.equal(await post({}, `?ttl=${ttl}`), 400, `a TTL of ${ttl} is none`)
  t.equal(await post({}, '?ttl=1&ttl=2'), 400, 'and one that comes twice')
})

t.test('limits are those of production', async (t) => {
  const app = await start(t)
  app.get('/part/:part', { config: { scope: 'public' } }, (request) => request.params)
  const part = async (text: string) => (await app.inject(`/part/${text}`)).statusCode
  t.equal(await part('%F0%9F%98%80'.repeat(250)), 200, 'a parameter is measured decoded')
  t.equal(await part('a'.repeat(1024)), 200)
  t.equal(await part('a'.repeat(1025)), 414)
  t.equal((await app.inject('/part/a/')).statusCode, 200, 'a trailing slash does not matter')
  t.equal((await app.inject({ method: 'POST', url: '/api/cache/set', body: { key: 'k', value: 'x'.repeat(10 * 1024 * 1024) } })).statusCode, 413)
  t.match(app.server, { requestTimeout: 30_000, headersTimeout: 10_000, keepAliveTimeout: 72_000 }, 'slow senders are not waited for')
})

t.test('settings take effect while running', async (t) => {
  const [app, replica] = [await start(t, { CACHE_MAX_ITEMS: '10' }), await start(t, { CACHE_MAX_ITEMS: '10' })]
  t.equal(app.caches.get('memory').limits.maxItems, 10, 'the environment gives the first value')
  const heard = new Promise((resolve) => { replica.configStore.on(resolve) })
  const before = Date.now()
  await app.configStore.put({ 'cache.memory.max_items': 20, 'cache.memory.strategy': 'fifo', 'log.level': 'error' })
  t.match(app.caches.get('memory').limits, { maxItems: 20, strategy: 'fifo', maxMemory: 104_857_600 }, 'in this process at once')
  t.equal(app.log.level, 'error')
  await heard
  t.ok(Date.now() - before < 5000, 'in every other within a second, or a little more on a busy machine')
  t.equal(replica.caches.get('memory').limits.maxItems, 20)
  t.equal((await start(t, { CACHE_MAX_ITEMS: '10' })).caches.get('memory').limits.maxItems, 20, 'and after a restart')
})

t.test('a start that fails leaves nothing open', async (t) => {
  const dataDir = t.testdir({ file: '' })
  await t.rejects(buildApp(loadConfig({ DATA_DIR: `${dataDir}/file`, LOG_LEVEL: 'silent' })))
  const unreachable = new URL(url)
  unreachable.pathname = '/no_such_database'
  await t.rejects(buildApp(loadConfig({ DATABASE_URL: unreachable.href, LOG_LEVEL: 'silent' })), { message: /DATABASE_URL/ })
})

t.test('secrets stay out of the log', async (t) => {
  const lines: string[] = []
  const stream = { write: (line: string) => { lines.push(line) } }
  const app = await buildApp(loadConfig({ DATABASE_URL: url, DATA_DIR: temporaryFolder(t) }), { logger: { stream } })
  t.teardown(() => app.close())
  const headers = { authorization: 's3cret', cookie: 's3cret', 'x-api-key': 's3cret', accept: '*/*' }
  app.log.error({ req: { headers }, user: { password: 's3cret', token: 's3cret' } }, 'headers')
  t.match(lines.join(''), /headers/)
  t.notMatch(lines.join(''), /s3cret/)
})

t.test('what is stored wins over the environment, and is told at the start where that leaves entries as they are', async (t) => {
  const env = { DATABASE_URL: await databaseUrl(t), DATA_DIR: temporaryFolder(t), CACHE_COMPRESSION_ENABLED: 'true', CACHE_ENCRYPTION_ENABLED: 'true', CACHE_ENCRYPTION_KEY: randomBytes(32).toString('base64') }
  const warningsOf = async (change?: object): Promise<string[]> => {
    const lines: { level: number, msg: string }[] = []
    const stream = { write: (line: string) => { lines.push(JSON.parse(line) as typeof lines[number]) } }
    const app = await buildApp(loadConfig(env), { logger: { stream } })
    await app.ready()
    if (change !== undefined) t.equal((await app.inject({ method: 'POST', url: '/api/cache/config', payload: change })).statusCode, 200)
    await app.close()
    return lines.filter(({ level, msg }) => level === 40 && /wins over the environment/.test(msg)).map(({ msg }) => msg)
  }
  t.strictSame(await warningsOf({ backend: 'database', encryption_enabled: false }), [])
  const told = await warningsOf({ backend: 'database', encryption_enabled: true })
  t.equal(told.length, 1)
  t.match(told[0], /: cache\.database\.encryption_enabled=false over CACHE_ENCRYPTION_ENABLED=true \(/)
  t.strictSame(await warningsOf(), [])
})
