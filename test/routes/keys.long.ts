import pg from 'pg'
import t, { type Test } from 'tap'
import type { ApiKey, IssuedApiKey } from '../../schemas/keys.js'
import { eventually } from '../support/caches.js'
import { databaseUrl, redisUrl, startPostgres, startRedisCluster } from '../support/servers.js'
import { startService, type Service } from '../support/service.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const ADMINISTRATOR = 'the-administrators-own-key'
/** Milliseconds within which a change is in force in every process. */
const EVERYWHERE = 1000
/** Milliseconds for which what was read last is trusted, and some for the look that fails. */
const FAILS_CLOSED = 5000 + 3000

interface Answer<T> { status: number, headers: Headers, body: T }

async function ask<T = Record<string, unknown>> (at: Service, request: string, key?: string, payload?: object): Promise<Answer<T>> {
  const [method, path] = request.split(' ') as [string, string]
  const response = await fetch(at.url + path, {
    method,
    headers: { ...key !== undefined && { 'x-api-key': key }, ...payload && { 'content-type': 'application/json' } },
    ...payload && { body: JSON.stringify(payload) }
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: (/json/.test(response.headers.get('content-type') ?? '') ? JSON.parse(text) : text) as T }
}

async function issue (t: Test, at: Service, wanted: object): Promise<IssuedApiKey> {
  const { status, body } = await ask<IssuedApiKey>(at, 'POST /keys', ADMINISTRATOR, wanted)
  t.equal(status, 201)
  return body
}

const statusOf = async (at: Service, key: string): Promise<number> => (await ask(at, 'GET /api/cache/exists/a', key)).status

const environments: Record<string, (t: Test) => Promise<Record<string, string>>> = {
  'PostgreSQL alone': async (t) => ({ DATABASE_URL: await databaseUrl(t) }),
  'PostgreSQL and Redis': async (t) => ({ DATABASE_URL: await databaseUrl(t), REDIS_URL: await redisUrl(t), CACHE_DEADLINE: '1000' }),
  'PostgreSQL and a Redis Cluster': async (t) => ({ DATABASE_URL: await databaseUrl(t), REDIS_URL: (await startRedisCluster(t)).url, CACHE_DEADLINE: '1000' })
}

for (const [name, environment] of Object.entries(environments)) {
  t.test(`two processes over ${name}`, async (t) => {
    const servers = await environment(t)
    const database = new pg.Client(servers['DATABASE_URL'])
    await database.connect()
    t.teardown(async () => { await database.end() })
    const shared = { ...servers, CACHE_AUTH_ENABLED: 'true', CACHE_API_KEY: ADMINISTRATOR, SECRET_KEY: 'of-these-two-processes-and-nobody-else' }
    const [a, b] = await Promise.all(Array.from({ length: 2 }, async () => await startService(t, { ...shared, DATA_DIR: temporaryFolder(t) }))) as [Service, Service]
    const soon = async (at: Service, key: string, status: number, what: string): Promise<void> =>
      await eventually(async () => await statusOf(at, key) === status, what, EVERYWHERE)

    t.test('a key that one creates opens the other', async (t) => {
      const { key } = await issue(t, a, { scopes: ['cache:read'] })
      t.equal(await statusOf(a, key), 200)
      await soon(b, key, 200, 'the other knows the key')
    })

    t.test('a key that one revokes is out in the other, in use as it is', async (t) => {
      const { key, id } = await issue(t, a, { scopes: ['cache:read'] })
      await soon(a, key, 200, 'it is in use')
      await soon(b, key, 200, 'in both')
      const users = { stop: false }
      let revokedAt = Infinity
      let latest = 0
      const all = Array.from({ length: 8 }, async () => {
        while (!users.stop) {
          const begun = performance.now()
          if (await statusOf(a, key) === 200) latest = Math.max(latest, begun - revokedAt)
        }
      })
      t.equal((await ask(b, `DELETE /keys/${id}`, ADMINISTRATOR)).status, 200)
      revokedAt = performance.now()
      t.equal(await statusOf(b, key), 401)
      await soon(a, key, 401, 'the other knows that it is revoked')
      users.stop = true
      await Promise.all(all)
      t.ok(latest < EVERYWHERE, `the last that got in came ${Math.round(latest)} ms after`)
      t.equal((await ask<ApiKey>(a, `GET /keys/${id}`, ADMINISTRATOR)).body.status, 'revoked')
    })

    t.test('a key that one rotates is replaced in the other', async (t) => {
      const old = await issue(t, a, { scopes: ['cache:read'] })
      await soon(b, old.key, 200, 'the old one is known')
      const { body: successor } = await ask<IssuedApiKey>(a, `POST /keys/${old.id}/rotate`, ADMINISTRATOR, { overlap: 0 })
      await soon(b, successor.key, 200, 'the new one is')
      t.equal(await statusOf(b, old.key), 401, 'both come together')
    })

    t.test('what one process revokes cannot be used in the other to make another key', async (t) => {
      const { key, id } = await issue(t, a, { scopes: ['keys:write', 'cache:read'] })
      await soon(b, key, 200, 'it is known')
      const revoking = ask(a, `DELETE /keys/${id}`, ADMINISTRATOR)
      const statuses = await Promise.all(Array.from({ length: 20 }, async () => (await ask(b, 'POST /keys', key, { scopes: ['cache:read'] })).status))
      t.ok(statuses.every((status) => status === 201 || status === 401))
      await revoking
      // Changes come one after the other, by revision.
      const { rowCount } = await database.query({
        text: 'SELECT FROM api_keys WHERE created_by = $1 AND revision > (SELECT revision FROM api_keys WHERE id = $2)', values: [`key:${id}`, id]
      })
      t.equal(rowCount, 0)
      t.equal((await ask(b, 'POST /keys', key, { scopes: ['cache:read'] })).status, 401)
    })

    t.test('what the database holds opens nothing', async (t) => {
      const keys = await Promise.all(Array.from({ length: 5 }, async () => (await issue(t, a, { scopes: ['*'] })).key))
      const { rows: tables } = await database.query<{ name: string }>("SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'")
      let dump = ''
      for (const { name } of tables) dump += JSON.stringify((await database.query(`SELECT t::text AS row FROM "${name}" AS t`)).rows)
      t.equal((await database.query("SELECT FROM api_keys WHERE secret_hash !~ '^[0-9a-f]{64}$'")).rowCount, 0)
      for (const key of keys) {
        const [, id, secret] = key.split('_') as [string, string, string]
        t.match(dump, id)
        t.notOk(dump.includes(secret))
      }
      t.notOk(dump.includes(ADMINISTRATOR))
      for (const word of new Set(dump.match(/larder_[0-9A-Za-z_]+|\b[0-9a-f]{64}\b/g))) t.equal(await statusOf(a, word), 401)
      for (const { log } of [a, b]) {
        t.notOk(keys.some((key) => log().includes(key.split('_')[2]!)))
        t.notOk(log().includes(ADMINISTRATOR))
      }
    })
  })
}

for (const outage of ['stopped', 'hung'] as const) {
  t.test(`while PostgreSQL is ${outage}`, async (t) => {
    const server = await startPostgres(t)
    const service = await startService(t, {
      DATABASE_URL: server.url, DATA_DIR: temporaryFolder(t), CACHE_AUTH_ENABLED: 'true', CACHE_API_KEY: ADMINISTRATOR
    })
    const used = await issue(t, service, { scopes: ['cache:*', 'metrics:read'] })
    const unused = await issue(t, service, { scopes: ['cache:read'] })
    t.equal(await statusOf(service, used.key), 200)
    const foreign = used.key.replace(used.id, unused.id)

    if (outage === 'stopped') await server.stop()
    else server.pause()
    t.equal(await statusOf(service, used.key), 200, 'what is known holds for a moment')
    t.equal(await statusOf(service, unused.key), 200, 'used before or not')
    t.equal(await statusOf(service, foreign), 401)
    let open = true
    const seen = new Set<number>()
    await eventually(async () => {
      const status = await statusOf(service, used.key)
      seen.add(status)
      t.equal((await ask(service, 'GET /health/live')).status, 200, 'it lives')
      open = status === 200
      return !open
    }, 'it fails closed', FAILS_CLOSED)
    t.strictSame([...seen], [200, 503], 'never with another answer')
    for (const key of [used.key, unused.key]) {
      const { status, headers, body } = await ask<{ type: string }>(service, 'GET /api/cache/exists/a', key)
      t.equal(status, 503)
      t.ok(Number(headers.get('retry-after')) >= 1)
      t.equal(body.type, '/problems/unavailable')
    }
    t.equal(await statusOf(service, 'larder_nothing'), 401, 'what is no key by its form needs no database to be refused')
    t.equal((await ask(service, 'GET /health/live', used.key)).status, 200, 'what is public stays so')
    t.equal((await ask(service, 'GET /api/cache/exists/a')).status, 401)
    t.equal(await statusOf(service, ADMINISTRATOR), 200, 'the administrator needs no database')
    t.match((await ask<string>(service, 'GET /metrics', ADMINISTRATOR)).body, /\nlarder_denials_total\{reason="unavailable"\} [1-9]/)
    t.equal((await ask(service, 'POST /keys', ADMINISTRATOR, { scopes: ['*'] })).status, 503, 'but to make keys')

    if (outage === 'stopped') await server.restart()
    else server.resume()
    await eventually(async () => await statusOf(service, used.key) === 200, 'it opens again', 15_000)
    t.equal(await statusOf(service, unused.key), 200)
    await eventually(async () => (await ask(service, 'POST /keys', ADMINISTRATOR, { scopes: ['cache:read'] })).status === 201, 'keys are made again')
  })
}
