import { hostname } from 'node:os'
import t from 'tap'
import type { IssuedApiKey } from '../../schemas/keys.js'
import type { Principal } from '../../services/access/principal.js'
import { ScopeSet } from '../../services/access/scopes.js'
import { mayKnowKind } from '../../services/events/kinds.js'
import { eventually } from '../support/caches.js'
import { databaseUrl, redisUrl } from '../support/servers.js'
import { temporaryFolder } from '../support/temporary-folder.js'
import { ADMINISTRATOR_KEY, bodyOf, openApp, sender } from './sample-app.js'

const administrator = { 'x-api-key': ADMINISTRATOR_KEY }
const PATHS = { list: 'GET /admin/breakers', open: 'POST /admin/breakers/redis/open', close: 'POST /admin/breakers/redis/close' }

interface Told { name: string, state: string, held: boolean, since: string, outages: number }

t.test('the breakers', async (t) => {
  const lines: string[] = []
  const app = await openApp(t, {
    DATABASE_URL: await databaseUrl(t), REDIS_URL: await redisUrl(t), DATA_DIR: temporaryFolder(t), CACHE_AUTH_ENABLED: 'true', CACHE_DEADLINE: '1000'
  })
  const warn = app.log.warn.bind(app.log)
  app.log.warn = ((detail: unknown, message: string) => {
    lines.push(message)
    warn(detail as object, message)
  }) as typeof app.log.warn
  const send = sender(app)
  const as = async (request: string, headers: Record<string, string> = administrator) => await send(request, undefined, headers)
  const found = async (name: string) => bodyOf<{ breakers: Told[] }>(await as(PATHS.list)).breakers.find((each) => each.name === name)
  const issue = async (scopes: string[], more: object = {}) =>
    ({ 'x-api-key': bodyOf<IssuedApiKey>(await send('POST /keys', { scopes, ...more }, administrator)).key })

  await t.test('are listed by the names that they have in the metrics', async (t) => {
    const { breakers } = bodyOf<{ breakers: Told[] }>(await as(PATHS.list))
    t.strictSame(breakers.map(({ name }) => name), ['postgres', 'app', 'redis', 'database', 'file'])
    t.ok(breakers.every(({ state, held }) => state === 'closed' && !held))
    const { body } = await as('GET /metrics')
    t.strictSame(new Set([...body.matchAll(/^larder_breaker_state\{name="(\w+)"\} 0$/mg)].map(([, name]) => name)), new Set(breakers.map(({ name }) => name)))
  })

  await t.test('are seen by who may read metrics, and held by who may change the configuration', async (t) => {
    const reader = await issue(['metrics:read'])
    const changer = await issue(['config:write'])
    const bound = await issue(['metrics:read', 'config:write'], { namespaces: ['one'] })
    const statuses = async (headers: Record<string, string>) => await Promise.all(Object.values(PATHS).map(async (path) => (await as(path, headers)).statusCode))
    t.strictSame(await statuses(reader), [200, 403, 403])
    t.strictSame(await statuses(bound), [403, 403, 403])
    t.equal((await found('redis'))?.held, false)
    t.equal((await as(PATHS.open, changer)).statusCode, 200)
    t.equal((await as(PATHS.close, changer)).statusCode, 200)
    t.equal((await as(PATHS.list, changer)).statusCode, 403)
  })

  await t.test('that there are none of are not found, and no key is taken that would be kept in PostgreSQL', async (t) => {
    for (const act of ['open', 'close']) {
      t.match((await as(`POST /admin/breakers/memcached/${act}`)).json(), { status: 404, detail: /no breaker memcached/ })
      t.match((await as(`POST /admin/breakers/redis/${act}`, { ...administrator, 'idempotency-key': '"a"' })).json(), { status: 422, detail: /without Idempotency-Key/ })
    }
    t.equal((await found('redis'))?.held, false)
  })

  await t.test('are held open by hand, and closed again', async (t) => {
    const set = async (backend: string) => (await send(`POST /api/cache/set?backend=${backend}`, { key: 'k', value: 1 }, administrator)).statusCode
    t.equal(await set('redis'), 200)
    const before = Date.now()
    t.match((await as(PATHS.open)).json(), { name: 'redis', state: 'open', held: true })
    const held = await found('redis')
    t.match(held, { state: 'open', held: true, outages: Number })
    t.ok(Date.parse(held!.since) >= before)
    t.equal(await set('redis'), 503)
    t.equal(await set('database'), 200, 'the others go on')
    t.match((await as('GET /metrics')).body, /^larder_breaker_state\{name="redis"\} 2$/m)
    t.match(lines, ['The breaker of redis is held open: it is left alone until somebody closes it'])
    t.match((await as(PATHS.close)).json(), { name: 'redis', state: 'closed', held: false })
    t.equal(await set('redis'), 200)
  })

  await t.test('that of PostgreSQL can be closed by the administrator, who needs no database', async (t) => {
    const key = await issue(['items:read'])
    t.equal((await as('POST /admin/breakers/postgres/open')).statusCode, 200)
    t.equal((await as('GET /items?nocache=true')).statusCode, 503)
    t.equal((await as('POST /admin/breakers/postgres/close', key)).statusCode >= 400, true)
    t.match((await as('POST /admin/breakers/postgres/close')).json(), { state: 'closed', held: false })
    t.equal((await as('GET /items?nocache=true')).statusCode, 200)
    const acts = bodyOf<{ events: { action: string }[] }>(await as('GET /audit?limit=100'))
    t.ok(JSON.stringify(acts).includes('breaker.open'), 'and what was done is in the audit log')
  })
  await t.test('that open and close are events, which are known to who may read metrics of everything, and in the audit log', async (t) => {
    const recorded = async () => (await app.pg.query<{ data: string }>("SELECT data FROM events WHERE type LIKE 'breaker.%' ORDER BY position")).rows.map(({ data }) => JSON.parse(data) as object)
    await eventually(async () => (await recorded()).length >= 4, 'all that was done above', 20_000)
    const told = await recorded()
    t.match(told.slice(0, 2), [{ name: 'redis', state: 'open', held: true, pid: process.pid, host: hostname() }, { name: 'redis', state: 'closed', held: false }])
    t.match(told.at(-1), { name: 'postgres', state: 'closed', missed: Number }, 'that of PostgreSQL is told once it is closed')
    await eventually(async () => bodyOf<{ entries: object[] }>(await as('GET /audit?action=breaker.closed')).entries.length > 0, 'the audit trail', 20_000)
    t.equal((await send('POST /events', { channel: 'breaker', event: { type: 'opened' } }, administrator)).statusCode, 422, 'nobody makes believe that one opened')
    const wide = { kind: 'api_key', scopes: ScopeSet.of(['events:read', 'metrics:read']) } as unknown as Principal
    t.ok(mayKnowKind(wide, 'breaker'))
    t.notOk(mayKnowKind({ ...wide, namespaces: new Set(['one']) }, 'breaker'))
    t.notOk(mayKnowKind({ ...wide, scopes: ScopeSet.of(['events:read']) }, 'breaker'))
  })
})
