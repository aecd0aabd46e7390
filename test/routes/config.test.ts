import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { eventually } from '../support/caches.js'
import { databaseUrl } from '../support/servers.js'
import { temporaryFolder } from '../support/temporary-folder.js'
import { bodyOf, openApp } from './sample-app.js'
import type { Setting, SettingHistoryReply, SettingInstancesReply, SettingsReply } from '../../schemas/settings.js'

const KEY = 'samples.items.list_ttl'

async function start (t: Test, env: NodeJS.ProcessEnv = {}): Promise<FastifyInstance> {
  return await openApp(t, { DATA_DIR: temporaryFolder(t), ...env })
}

const as = (app: FastifyInstance) => async (request: string, payload?: unknown, headers: Record<string, string> = {}) => {
  const [method, url] = request.split(' ') as ['GET', string]
  return await app.inject({ method, url, headers: { ...payload === undefined ? {} : { 'content-type': 'application/json' }, ...headers }, ...payload === undefined ? {} : { payload: JSON.stringify(payload) } })
}

t.test('one process', async (t) => {
  const app = await start(t, { CACHE_MAX_ITEMS: '77', REDIS_PASSWORD: 'hush-hush', DB_PASSWORD: 'hush-hush' })
  const send = as(app)
  const etagOf = async (key = KEY) => String((await send(`GET /config/${key}`)).headers.etag)

  t.test('every setting is shown with its source, and no secret', async (t) => {
    const response = await send('GET /config')
    const { settings } = bodyOf<SettingsReply>(response)
    const named = Object.fromEntries(settings.map((setting) => [setting.key, setting]))
    t.match(named[KEY], { value: 30, source: 'default', revision: 0, default: 30, changeable: true })
    t.match(named['cache.memory.max_items'], { value: 77, source: 'environment', default: 10_000 })
    t.match(named['CACHE_MAX_ITEMS'], { value: 77, source: 'environment', changeable: false, default: 10_000 })
    t.match(named['PORT'], { value: 8000, source: 'default', changeable: false })
    t.match(named['REDIS_PASSWORD'], { value: '***', source: 'environment' })
    t.match(named['REDIS_URL'], { value: null, source: 'default' })
    t.strictSame(named[KEY]?.schema, { type: 'number', minimum: 0, maximum: 3_155_760_000, unit: 'seconds' }, 'what can change says what it takes')
    t.strictSame(named['cache.redis.max_memory']?.schema, { type: ['integer', 'null'], minimum: 1, maximum: 2 ** 40, unit: 'bytes' })
    t.match(named['log.level']?.schema, { type: 'string', enum: ['fatal', 'error'] })
    t.match(named['cache.redis.quotas']?.schema, { type: 'object' })
    t.equal(named['PORT']?.schema, undefined)
    t.notMatch(response.body, /hush|the-key-of/)
    t.match(bodyOf<Setting>(await send('GET /config/PORT')), { key: 'PORT', value: 8000 })
  })

  t.test('a change needs the ETag that was read', async (t) => {
    t.equal(await etagOf(), '"r0"')
    t.equal((await send(`PUT /config/${KEY}`, { value: 5 })).statusCode, 428)
    t.equal((await send(`DELETE /config/${KEY}`)).statusCode, 428)
    const changed = await send(`PUT /config/${KEY}`, { value: 5 }, { 'if-match': '"r0"' })
    t.equal(changed.statusCode, 200)
    t.match(bodyOf<Setting>(changed), { key: KEY, value: 5, source: 'store', default: 30, updated_by: 'local' })
    t.equal(app.configStore.get(KEY), 5, 'and holds at once')
    t.equal(changed.headers.etag, await etagOf())
    t.equal((await send(`PUT /config/${KEY}`, { value: 6 }, { 'if-match': '"r0"' })).statusCode, 412)
    t.equal((await send(`PUT /config/${KEY}`, { value: 6 }, { 'if-none-match': '*' })).statusCode, 412)
    t.equal((await send(`GET /config/${KEY}`, undefined, { 'if-none-match': await etagOf() })).statusCode, 304)
    t.equal(bodyOf<Setting>(await send(`PUT /config/${KEY}`, 6.5, { 'if-match': '*' })).value, 6.5, 'a bare value will do')
    t.equal(bodyOf<Setting>(await send('PUT /config/samples.posts.list_ttl', 1, { 'if-none-match': '*' })).value, 1)
  })

  t.test('of many who change it at once from the same revision, one does', async (t) => {
    const etag = await etagOf()
    const answers = await Promise.all(Array.from({ length: 20 }, async (_, i) => await send(`PUT /config/${KEY}`, { value: 100 + i }, { 'if-match': etag })))
    t.strictSame(answers.map(({ statusCode }) => statusCode).sort(), [200, ...Array<number>(19).fill(412)])
  })

  t.test('what does not fit is refused, and nothing is stored', async (t) => {
    const etag = await etagOf()
    const cases: [string, unknown, number][] = [
      [KEY, 'soon', 400], [KEY, null, 400], [KEY, { value: null }, 400], [KEY, -1, 400], [KEY, { value: 5, more: 1 }, 400],
      ['cache.memory.strategy', 'best', 400], ['nothing', 1, 404], ['__proto__', 1, 404], ['PORT', 1, 422]
    ]
    for (const [key, value, status] of cases) t.equal((await send(`PUT /config/${key}`, value, { 'if-match': '*' })).statusCode, status, `${key} ${JSON.stringify(value)}`)
    t.match((await send(`PUT /config/${KEY}`, { value: 'soon' }, { 'if-match': '*' })).json(), { errors: [{ path: 'body/value', message: /must be a number/ }] })
    t.equal((await send(`PUT /config/${KEY}`, undefined, { 'if-match': '*' })).statusCode, 400)
    t.equal(await etagOf(), etag)
    for (const request of ['GET /config/nothing', 'GET /config/nothing/history', 'DELETE /config/nothing', 'POST /config/nothing/rollback']) {
      t.equal((await send(request, undefined, { 'if-match': '*' })).statusCode, 404, request)
    }
  })

  t.test('what does not fit together is refused here as at /api/cache/config, and who changes it there stands in the history', async (t) => {
    const quotas = { shop: { max_items: 1000, max_memory: 1000 } }
    t.equal((await send('PUT /config/cache.memory.quotas', { value: quotas }, { 'if-match': '*' })).statusCode, 422, 'more than the backend has')
    t.equal((await send('PUT /config/cache.database.encryption_enabled', true, { 'if-match': '*' })).statusCode, 422, 'no key')
    t.equal((await send('POST /api/cache/config', { max_items: 78 })).statusCode, 200)
    t.match((await send('GET /config/cache.memory.max_items')).json(), { value: 78, source: 'store', updated_by: 'local' })
  })

  t.test('every value that there is for a setting can be seen', async (t) => {
    const layers = async (key: string) => bodyOf<Setting>(await send(`GET /config/${key}?explain=true`)).layers
    t.strictSame(await layers('cache.memory.max_items'), [{ source: 'default', value: 10_000 }, { source: 'environment', value: 77 }, { source: 'store', value: 78 }])
    t.strictSame(await layers('samples.recipes.list_ttl'), [{ source: 'default', value: 60 }])
    t.strictSame(await layers('CACHE_MAX_ITEMS'), [{ source: 'default', value: 10_000 }, { source: 'environment', value: 77 }])
    t.strictSame(await layers('REDIS_PASSWORD'), [{ source: 'environment', value: '***' }])
    t.equal(bodyOf<Setting>(await send(`GET /config/${KEY}`)).layers, undefined)
    t.equal(bodyOf<SettingsReply>(await send('GET /config')).stale, false)
  })

  t.test('limits of requests change while running, and nobody gets a new bucket by it', async (t) => {
    const key = 'rate_limits.requests'
    const policy = async () => String((await send('GET /user')).headers['ratelimit-policy'])
    for (const value of ['10/fortnight', '', 10, '0/minute', '10/minute, 20/minute', 'x'.repeat(201)]) {
      t.match((await send(`PUT /config/${key}`, { value }, { 'if-match': '*' })).json(), { status: 400, errors: [{ path: 'body/value' }] }, JSON.stringify(value))
    }
    t.match((await send(`PUT /config/${key}?dry_run=true`, { value: '1/hour' }, { 'if-match': '*' })).json(), { value: '1/hour', source: 'store' })
    t.equal(await policy(), '"per-second";q=1000000;w=1')
    t.match((await send(`GET /config/${key}`)).json(), { value: '1000000/second', source: 'environment', default: '6000/minute' })
    t.equal((await send(`PUT /config/${key}`, { value: '3/hour' }, { 'if-match': '*' })).statusCode, 200)
    const answers = []
    for (let i = 0; i < 4; i++) answers.push(await send('GET /user'))
    t.strictSame(answers.map(({ statusCode }) => statusCode), [200, 200, 200, 429])
    t.match(answers[0]?.headers, { 'ratelimit-policy': '"per-hour";q=3;w=3600' })
    t.equal((await send(`PUT /config/${key}`, { value: '100/day' }, { 'if-match': '*' })).statusCode, 200, 'who is exhausted can still correct it')
    t.match(await send('GET /user'), { statusCode: 429 }, 'and is not less so')
    t.equal((await send(`DELETE /config/${key}`, undefined, { 'if-match': '*' })).statusCode, 200)
    t.match((await send('GET /metrics')).body, /larder_rate_limit_rejections_total\{policy="per-hour"\} 1\n/, 'what was refused stays counted')
    const logins = 'rate_limits.failed_logins'
    t.equal((await send(`PUT /config/${logins}`, { value: '2/hour' }, { 'if-match': '*' })).statusCode, 200)
    const wrong = async () => (await send('GET /items', undefined, { 'x-api-key': `wrong-${Math.random()}` })).statusCode
    t.strictSame([await wrong(), await wrong(), await wrong()], [401, 401, 429])
    t.equal((await send(`DELETE /config/${logins}`, undefined, { 'if-match': '*' })).statusCode, 200)
  })

  t.test('a body is the value, or an object with the value alone', async (t) => {
    for (const [body, path] of [[{ value: 5, x: 1 }, 'body/x'], [{ Value: 5 }, 'body/Value'], [{}, 'body/value']] as const) {
      t.match((await send(`PUT /config/${KEY}`, body, { 'if-match': '*' })).json(), { status: 400, errors: [{ path }] }, JSON.stringify(body))
    }
    for (const method of ['PUT', 'DELETE']) t.equal((await send(`${method} /config/log_level`, method === 'PUT' ? 5 : undefined)).statusCode, 404, 'before it is told what a change needs')
  })

  t.test('the head of a stream is answered at once', async (t) => {
    const { statusCode, headers } = await send('HEAD /config/watch')
    t.match({ statusCode, headers }, { statusCode: 200, headers: { 'content-type': /^text\/event-stream/ } })
  })

  t.test('a dry run says what would be, and changes nothing', async (t) => {
    const etag = await etagOf()
    const before = app.configStore.get(KEY)
    const dry = await send(`PUT /config/${KEY}?dry_run=true`, 9, { 'if-match': etag })
    t.match(bodyOf<Setting>(dry), { value: 9, source: 'store', revision: Number(/\d+/.exec(etag)?.[0]) })
    t.equal(dry.headers.etag, undefined, 'nothing is there that could be changed under it')
    t.equal((await send(`PUT /config/${KEY}?dry_run=true`, 9, { 'if-match': '"r0"' })).statusCode, 412)
    t.equal((await send(`DELETE /config/${KEY}?dry_run=true`, undefined, { 'if-match': etag })).json<Setting>().value, 30)
    t.equal(app.configStore.get(KEY), before)
    t.equal(await etagOf(), etag)
  })

  t.test('the history shows who changed what, and any of it can be had back', async (t) => {
    const key = 'samples.users.user_ttl'
    for (const value of [1, 2, 3]) await send(`PUT /config/${key}`, value, { 'if-match': '*' })
    const history = async () => bodyOf<SettingHistoryReply>(await send(`GET /config/${key}/history`)).changes
    const [third, second, first] = await history()
    t.match([third, second, first], [{ value: 3, action: 'set', changed_by: 'local' }, { value: 2 }, { value: 1 }])
    t.equal((await send(`POST /config/${key}/rollback`, { revision: first?.revision })).json<Setting>().value, 1)
    t.equal((await send(`POST /config/${key}/rollback`)).json<Setting>().value, 3, 'without a revision: what was before')
    t.equal((await send(`POST /config/${key}/rollback`, { revision: 999_999 })).statusCode, 404)
    const reset = await send(`DELETE /config/${key}`, undefined, { 'if-match': await etagOf(key) })
    t.match(reset.json(), { value: 120, source: 'default', revision: 0 })
    t.strictSame((await history()).map(({ action, value }) => [action, value]),
      [['deleted', undefined], ['rolled_back', 3], ['rolled_back', 1], ['set', 3], ['set', 2], ['set', 1]])
    const seen: number[] = []
    for (let url = `/config/${key}/history?limit=4`; ;) {
      const page = await send(`GET ${url}`)
      seen.push(...bodyOf<SettingHistoryReply>(page).changes.map(({ revision }) => revision))
      const next = /<(.*)>; rel="next"/.exec(String(page.headers.link ?? ''))?.[1]
      if (next === undefined) break
      url = next
    }
    t.strictSame(seen, (await history()).map(({ revision }) => revision))
  })

  t.test('several are changed together, or none', async (t) => {
    const [a, b, c] = ['samples.recipes.list_ttl', 'samples.recipes.recipe_ttl', 'samples.users.user_ttl'] as const
    const revision = async (key: string): Promise<number> => (await send(`GET /config/${key}`)).json<Setting>().revision
    const edit = async (changes: object[], query = '') => await send(`POST /config-batch${query}`, { changes })
    const before = await revision(a)

    t.equal((await edit([{ key: a, value: 11 }])).statusCode, 428, 'each needs the revision that was read')
    const stale = await edit([{ key: a, value: 11, revision: before }, { key: b, value: 12, revision: 999_999 }])
    t.equal(stale.statusCode, 412)
    t.match(stale.json(), { detail: new RegExp(b) })
    t.match((await edit([{ key: a, value: 11, revision: '*' }, { key: b, value: -1, revision: '*' }])).json(), { status: 400, detail: new RegExp(b) })
    t.equal((await edit([{ key: a, value: 11, revision: '*' }, { key: a, value: 12, revision: '*' }])).statusCode, 400, 'one that is named twice')
    t.equal((await edit([{ key: a, value: 11, remove: true, revision: '*' }])).statusCode, 400)
    t.equal((await edit([{ key: a, value: 11, revision: '*' }, { key: 'no.such', value: 1, revision: '*' }])).statusCode, 404)
    t.equal((await edit([{ key: 'PORT', value: 1, revision: '*' }])).statusCode, 422)
    t.equal((await edit([])).statusCode, 400)
    const dry = await edit([{ key: a, value: 11, revision: before }, { key: b, value: 12, revision: '*' }], '?dry_run=true')
    t.match(dry.json(), { settings: [{ key: a, value: 11 }, { key: b, value: 12 }] })
    t.equal(await revision(a), before, 'nothing has changed so far')

    const made = await edit([{ key: a, value: 11, revision: before }, { key: b, value: 12, revision: '*' }, { key: c, value: 13, revision: '*' }])
    t.match(made.json(), { settings: [{ key: a, value: 11, source: 'store' }, { key: b, value: 12 }, { key: c, value: 13 }] })
    t.strictSame([a, b, c].map((name) => app.configStore.get(name)), [11, 12, 13], 'and they hold at once')
    const removed = await edit([{ key: a, value: 21, revision: await revision(a) }, { key: b, remove: true, revision: await revision(b) }, { key: c, remove: true, revision: '*' }])
    t.match(removed.json(), { revision: app.configStore.revision, settings: [{ value: 21, source: 'store' }, { revision: 0 }, { revision: 0 }] })
    t.match((await send(`GET /config/${b}/history`)).json(), { changes: [{ action: 'deleted' }, { action: 'set', value: 12 }] })
  })
})

t.test('a namespace has values of its own', async (t) => {
  const app = await start(t, { CACHE_DEFAULT_TTL: '100' })
  const send = as(app)
  const TTL = 'cache.memory.default_ttl'
  const set = async (namespace: string, more: object = {}) =>
    (await send(`POST /api/cache/set?namespace=${namespace}`, { key: 'a', value: 'x'.repeat(5000), ...more })).json<{ ttl: number, strategy: string, size: number }>()
  const own = async (key: string, namespace: string, query = '') => await send(`GET /config/${key}?namespace=${namespace}${query}`)

  t.test('over those for all, over the environment, over the default', async (t) => {
    t.match((await own(TTL, 'shop')).json(), { namespace: 'shop', value: 100, source: 'environment', revision: 0 })
    t.equal((await send(`PUT /config/${TTL}?namespace=shop`, 60)).statusCode, 428)
    t.match((await send(`PUT /config/${TTL}?namespace=shop&dry_run=true`, 60, { 'if-match': '"r0"' })).json(), { value: 60, source: 'namespace', revision: 0 })
    t.equal((await set('shop')).ttl, 100)
    const made = await send(`PUT /config/${TTL}?namespace=shop`, 60, { 'if-match': '"r0"' })
    t.match(made.json(), { key: TTL, namespace: 'shop', value: 60, source: 'namespace', updated_by: 'local' })
    t.equal(made.headers.etag, (await own(TTL, 'shop')).headers.etag)
    t.equal((await send(`PUT /config/${TTL}?namespace=shop`, 61, { 'if-none-match': '*' })).statusCode, 412)
    t.match((await send(`GET /config/${TTL}`)).json(), { value: 100, source: 'environment', revision: 0 }, 'all others have what they had')
    t.equal((await send(`PUT /config/${TTL}`, 90, { 'if-match': '"r0"' })).statusCode, 200)
    t.strictSame([(await set('shop')).ttl, (await set('other')).ttl, (await set('shop', { ttl: 5 })).ttl], [60, 90, 5], 'where the writer names none')
    t.equal((await send('POST /api/cache/increment', { key: 'n', by: 1, namespace: 'shop' })).json<{ ttl: number }>().ttl, 60)
    t.strictSame(bodyOf<Setting>(await own(TTL, 'shop', '&explain=true')).layers, [
      { source: 'default', value: 3600 }, { source: 'environment', value: 100 }, { source: 'store', value: 90 }, { source: 'namespace', value: 60 }
    ])
    t.strictSame(bodyOf<Setting>(await own(TTL, 'other', '&explain=true')).layers?.at(-1), { source: 'store', value: 90 })
    t.match(bodyOf<Setting>(await send(`GET /config/${TTL}?explain=true`)).overrides, [{ namespace: 'shop', value: 60 }])
    t.equal((await send(`GET /config/${TTL}?namespace=shop`, undefined, { 'if-none-match': String(made.headers.etag) })).statusCode, 304)
    t.equal((await send(`GET /config/${TTL}?namespace=other`, undefined, { 'if-none-match': '"r0"' })).statusCode, 200, 'what it has may have changed with what holds for all')
  })

  t.test('a strategy, and what is done to entries outside the process', async (t) => {
    const put = async (key: string, value: unknown, namespace = 'shop') => await send(`PUT /config/${key}?namespace=${namespace}`, value, { 'if-match': '*' })
    t.equal((await put('cache.memory.strategy', 'fifo')).statusCode, 200)
    t.strictSame([(await set('shop')).strategy, (await set('other')).strategy, (await set('shop', { strategy: 'lfu' })).strategy], ['fifo', 'lru', 'lfu'])
    t.equal((await put('cache.file.compression_enabled', true)).statusCode, 200)
    const size = async (namespace: string) => (await set(namespace, { backend: 'file' })).size
    t.ok(await size('shop') < 1000 && await size('other') > 5000)
    t.match((await put('cache.file.encryption_enabled', true)).json(), { status: 422, detail: /key/ })
    t.equal((await put('cache.memory.strategy', 'best')).statusCode, 400)
    const config = async (query: string) => (await send(`GET /api/cache/config?${query}`)).json<{ config: object }>().config
    t.match(await config('namespace=shop'), { default_ttl: 60, strategy: 'fifo', compression_enabled: false })
    t.match(await config('namespace=shop&backend=file'), { default_ttl: 100, strategy: 'lru', compression_enabled: true })
    t.match(await config('backend=memory'), { default_ttl: 90, strategy: 'lru' })
    t.match((await send('POST /api/cache/config?namespace=team', { default_ttl: 7, max_items: 5, max_memory: 50_000 })).json(), { config: { default_ttl: 7 }, quota: { max_items: 5 } })
    t.match((await own(TTL, 'team')).json(), { value: 7, source: 'namespace' })
    t.equal((await send(`DELETE /config/${TTL}?namespace=team`, undefined, { 'if-match': '*' })).statusCode, 200)
  })

  t.test('but of nothing that is not decided for an entry when it is written', async (t) => {
    const cases: [string, RegExp][] = [
      ['log.level', /not about the entries/], ['rate_limits.requests', /POST \/keys/], ['cache.memory.quotas', /POST \/api\/cache\/config/],
      ['cache.redis.max_items', /quota/], ['cache.memcached.cleanup_interval', /sweep/], ['samples.items.list_ttl', /entries/], ['PORT', /environment/]
    ]
    for (const [key, detail] of cases) {
      for (const request of [`PUT /config/${key}?namespace=shop`, `DELETE /config/${key}?namespace=shop`, `GET /config/${key}?namespace=shop`]) {
        t.match((await send(request, request.startsWith('PUT') ? 1 : undefined)).json(), { status: 422, detail }, request)
      }
    }
    t.equal((await send('GET /config/log.level/history?namespace=shop')).statusCode, 422)
    t.match((await send('POST /config-batch', { changes: [{ key: 'log.level', namespace: 'shop', value: 'info', revision: '*' }] })).json(), { status: 422 })
    t.match((await send(`PUT /config/${TTL}?namespace=a%2Fb`, 1, { 'if-match': '*' })).json(), { status: 400, errors: [{ path: 'query/namespace' }] })
    t.match((await send('POST /api/cache/config?namespace=shop', { cleanup_interval: 5 })).json(), { status: 422, detail: /sweep/ })
  })

  t.test('with histories and ways back of their own', async (t) => {
    const history = async (namespace?: string) => bodyOf<SettingHistoryReply>(await send(`GET /config/${TTL}/history${namespace === undefined ? '' : `?namespace=${namespace}`}`)).changes
    await send(`PUT /config/${TTL}?namespace=shop`, 70, { 'if-match': '*' })
    const [last, first] = await history('shop')
    t.match([last, first], [{ namespace: 'shop', value: 70 }, { namespace: 'shop', value: 60 }])
    t.strictSame((await history()).map(({ namespace, value }) => [namespace, value]), [[undefined, 90]])
    t.strictSame((await history('*')).map(({ namespace, value }) => [namespace, value]), [['shop', 70], ['team', undefined], ['team', 7], [undefined, 90], ['shop', 60]])
    t.equal((await send(`POST /config/${TTL}/rollback`, { revision: first?.revision })).statusCode, 404, 'a revision of another is none of its')
    t.match((await send(`POST /config/${TTL}/rollback?namespace=shop`, { revision: first?.revision })).json(), { namespace: 'shop', value: 60, source: 'namespace' })
    t.equal((await set('shop')).ttl, 60)
    const page = await send(`GET /config/${TTL}/history?namespace=shop&limit=1`)
    t.match(page.headers.link, /namespace=shop/)
    const gone = await send(`DELETE /config/${TTL}?namespace=shop`, undefined, { 'if-match': '*' })
    t.match(gone.json(), { value: 90, source: 'store', revision: 0 })
    t.equal((await set('shop')).ttl, 90)
    t.match((await history('shop'))[0], { action: 'deleted', namespace: 'shop' })
  })

  t.test('listed, and changed together with others', async (t) => {
    const changes = [
      { key: TTL, value: 80, revision: '*' }, { key: TTL, namespace: 'shop', value: 50, revision: 0 }, { key: TTL, namespace: '__proto__', value: 40, revision: 0 },
      { key: 'cache.memory.strategy', namespace: 'shop', remove: true, revision: '*' }
    ]
    t.equal((await send('POST /config-batch', { changes: [...changes, { key: TTL, namespace: 'shop', value: 1, revision: '*' }] })).statusCode, 400, 'one that is named twice')
    t.match((await send('POST /config-batch', { changes })).json(), {
      settings: [{ value: 80, source: 'store' }, { namespace: 'shop', value: 50, source: 'namespace' }, { namespace: '__proto__', value: 40 }, { value: 'lru', source: 'default', revision: 0 }]
    })
    t.equal((await send('POST /config-batch', { changes: [{ key: TTL, namespace: 'shop', value: 1, revision: 0 }] })).statusCode, 412)
    t.strictSame([(await set('shop')).ttl, (await set('__proto__')).ttl, (await set('shop')).strategy], [50, 40, 'lru'])
    const { overrides, settings } = bodyOf<SettingsReply>(await send('GET /config'))
    t.strictSame(overrides.map(({ key, namespace, value }) => [key, namespace, value]), [['cache.file.compression_enabled', 'shop', true], [TTL, '__proto__', 40], [TTL, 'shop', 50]])
    t.match(settings.find(({ key }) => key === TTL), { value: 80 })
    const one = bodyOf<SettingsReply>(await send('GET /config?namespace=shop'))
    t.match(one.settings.find(({ key }) => key === TTL), { namespace: 'shop', value: 50, source: 'namespace' })
    t.notOk(one.settings.some(({ key }) => key === 'log.level' || key === 'PORT'))
    t.equal(one.overrides.length, 2)
  })
})

t.test('watching, over two processes', async (t) => {
  const env = { DATABASE_URL: await databaseUrl(t) }
  const [one, other] = [await start(t, env), await start(t, env)]
  await other.listen({ port: 0, host: '127.0.0.1' })
  const address = other.listeningOrigin
  const send = as(one)
  const events = async (count: number, headers: Record<string, string> = {}, query = '') => {
    const gone = new AbortController()
    const response = await fetch(`${address}/config/watch${query}`, { headers, signal: gone.signal })
    t.equal(response.headers.get('content-type'), 'text/event-stream')
    return {
      read: (async () => {
        let text = ''
        const found: { id: number, value: unknown }[] = []
        for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
          text += Buffer.from(chunk).toString()
          for (let end; (end = text.indexOf('\n\n')) !== -1; text = text.slice(end + 2)) {
            const [id, data] = [/^id: (.*)$/m.exec(text.slice(0, end))?.[1], /^data: (.*)$/m.exec(text.slice(0, end))?.[1]]
            if (id !== undefined && data !== undefined) found.push({ id: Number(id), value: (JSON.parse(data) as { value: unknown }).value })
          }
          if (found.length >= count) break
        }
        gone.abort()
        return found
      })()
    }
  }
  await send(`PUT /config/${KEY}`, 1, { 'if-match': '*' })
  while (other.configStore.get(KEY) !== 1) await new Promise((resolve) => { setTimeout(resolve, 20) })
  const watched = await events(2)
  await send(`PUT /config/${KEY}`, 2, { 'if-match': '*' })
  await send(`PUT /config/${KEY}`, 3, { 'if-match': '*' })
  const seen = await watched.read
  t.strictSame(seen.map(({ value }) => value), [2, 3])
  const resumed = await (await events(1, { 'last-event-id': String(seen[0]?.id) })).read
  t.strictSame(resumed.map(({ value }) => value), [3], 'Last-Event-ID goes on without a gap')
  t.strictSame((await (await events(3, {}, '?since=0')).read).map(({ value }) => value), [1, 2, 3])
  t.equal((await fetch(`${address}/config/watch`, { headers: { 'last-event-id': 'x' } })).status, 400)
  t.equal((await fetch(`${address}/config/watch?since=999999`)).status, 410, 'a revision of another database is not waited for')

  const ttl = 'cache.memory.default_ttl'
  const ofShop = await events(2, {}, '?namespace=shop')
  await send(`PUT /config/${ttl}?namespace=shop`, 77, { 'if-match': '*' })
  await send(`PUT /config/${ttl}?namespace=other`, 78, { 'if-match': '*' })
  await send(`PUT /config/${ttl}?namespace=shop`, 77, { 'if-match': '*' })
  t.strictSame((await ofShop.read).map(({ value }) => value), [77, 77], 'one that leaves the value as it was is told too')
  const set = async (namespace: string) => (await as(other)('POST /api/cache/set', { key: 'a', value: 1, namespace, backend: 'memory' })).json<{ ttl: number }>().ttl
  t.strictSame([await set('shop'), await set('other'), await set('default')], [77, 78, 3600], 'what another process has set for a namespace holds here')

  const asked: object[] = []
  const history = other.configStore.history.bind(other.configStore)
  other.configStore.history = async (query) => {
    asked.push(query)
    return await history(query)
  }
  const many = await Promise.all(Array.from({ length: 20 }, async () => await events(1)))
  await send(`PUT /config/${KEY}`, 9, { 'if-match': '*' })
  t.strictSame((await Promise.all(many.map(async ({ read }) => (await read).map(({ value }) => value)))).flat(), Array<number>(20).fill(9))
  t.equal(asked.length, 1, 'the history is asked once for a change, however many watch')

  await one.database.query('DELETE FROM settings_history WHERE revision < (SELECT max(revision) FROM settings_history)')
  t.equal((await fetch(`${address}/config/watch?since=1`)).status, 410, 'older than the history')
  t.strictSame((await (await events(1, {}, '?since=0')).read).map(({ value }) => value), [9], '0 begins with the first that is kept')

  const instances = async (): Promise<SettingInstancesReply> => (await send('GET /config/instances')).json()
  const { revision } = one.configStore
  t.match(await instances(), { revision, instances: [{ pid: process.pid, self: true, current: true, revision }, { self: false }] })
  await eventually(async () => (await instances()).instances.every(({ current }) => current), 'both live by the last change')

  const last = await events(1)
  const closed = other.close()
  t.strictSame(await last.read, [], 'a stream ends when the service closes, which does not wait for it')
  await closed
  t.match(await instances(), { instances: [{ self: true }] }, 'who has ended is no longer listed')
  t.equal((await instances()).instances.length, 1)
})
