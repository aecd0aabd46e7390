import t from 'tap'
import { LONGEST_LIFE } from '../../services/cache/lifetime.js'
import { Api, startApp } from './cache/api.js'
import { hex, oddNames } from './cache/odd-names.js'

// The other backends are held to the same in cache-bad-input.long.ts.
const app = await startApp(t)

void t.test('memory', async (t) => { await oddNames(t, app, 'memory') })

void t.test('a value that is not of its data type is refused, and so is one that JSON cannot carry', async (t) => {
  const cache = new Api(app, 'memory')
  const wrong: Array<[dataType: string, value: string]> = [
    ['string', '1'], ['string', 'null'], ['number', '"1"'], ['number', '1e400'], ['number', 'null'], ['boolean', '0'], ['list', '{}'], ['list', 'null'],
    ['dictionary', '[]'], ['dictionary', 'null'], ['binary', '"*"'], ['binary', '"AB=="'], ['binary', '1'], ['json', '[1e400]']
  ]
  for (const [dataType, value] of wrong) {
    const answer = await cache.post('/set', `{"key":"a","value":${value},"data_type":"${dataType}"}`)
    t.match(answer, { status: 400, body: { type: '/problems/invalid-input', detail: /^value / } }, `${value} as ${dataType}`)
  }
  t.equal((await cache.post('/set', '{"key":"a","value":-1e400}')).status, 400)
  t.equal((await cache.read('a')).body.found, false)
})

void t.test('a field of the wrong type, an unknown one, or a missing one is named', async (t) => {
  const cache = new Api(app, 'memory')
  const wrong: Array<[path: string, body: unknown, named: string]> = []
  const entry = { key: 'a', value: 1 }
  for (const key of [1, null, {}, [], true]) {
    wrong.push(['/set', { ...entry, key }, 'body/key'], ['/touch', { key, ttl: 1 }, 'body/key'], ['/increment', { key }, 'body/key'])
  }
  for (const ttl of ['60', null, -1, true, [60], LONGEST_LIFE + 1, 1e12, 1e300]) {
    wrong.push(['/set', { ...entry, grace: ttl }, 'body/grace'])
    wrong.push(['/set', { ...entry, ttl }, 'body/ttl'], ['/touch', { key: 'a', ttl }, 'body/ttl'], ['/increment', { key: 'a', ttl }, 'body/ttl'])
    if (typeof ttl !== 'number' || ttl < 0) wrong.push(['/config', { default_ttl: ttl }, 'body/default_ttl'])
  }
  for (const name of ['Memory', '', null, 1, '*', '__proto__']) {
    wrong.push(['/set', { ...entry, backend: name }, 'body/backend'], ['/set', { ...entry, strategy: name }, 'body/strategy'])
    wrong.push(['/set', { ...entry, data_type: name }, 'body/data_type'])
  }
  for (const namespace of ['', 'a b', 'a/b', 'a:b', 'é', 'x'.repeat(65), null, 1, '*']) {
    wrong.push(['/set', { ...entry, namespace }, 'body/namespace'], ['/invalidate', { tags: ['a'], namespace }, 'body/namespace'])
  }
  for (const metadata of [null, [], 'x', 1, true]) wrong.push(['/set', { ...entry, metadata }, 'body/metadata'])
  for (const by of ['1', null, true]) wrong.push(['/increment', { key: 'a', by }, 'body/by'])
  for (const path of ['/set', '/touch', '/increment', '/invalidate', '/config']) {
    wrong.push([path, { ...entry, ttl: 1, by: 1, tags: ['a'], colour: 1 }, 'body/'], [path, [], 'body'], [path, '"text"', 'body'], [path, 'null', 'body'])
  }
  for (const path of ['/set-batch', '/get-batch', '/delete-batch']) {
    for (const body of [{}, '"text"', 'null', '1', { 0: 'a', length: 1 }]) wrong.push([path, body, 'body'])
  }
  for (const body of [[], '"text"', 'null', '1']) wrong.push(['/warm', body, 'body'])
  wrong.push(['/set', { key: 'a' }, 'body'], ['/set', { value: 1 }, 'body'], ['/touch', { key: 'a' }, 'body'])
  for (const body of [{ max_items: 0 }, { max_items: 1.5 }, { max_items: '5' }, { max_memory: -1 }, { max_memory: '1' }, { cleanup_interval: 0 }, { strategy: 'random' },
    { compression_enabled: 'no' }]) {
    wrong.push(['/config', body, `body/${Object.keys(body)[0]}`])
  }
  for (const [path, body, named] of wrong) {
    const { status, body: problem } = await cache.post(path, body, {}, { 'x-request-id': 'wrong' })
    const name = `${path} ${JSON.stringify(body).slice(0, 80)}`
    t.equal(status, 400, name)
    t.ok(problem.errors?.[0]?.path.startsWith(named), `${name}: ${problem.errors?.[0]?.path}`)
    t.equal(problem.instance, 'wrong')
  }
})

void t.test('a parameter that is unknown or not valid is named', async (t) => {
  const routes = [['GET', '/get/a'], ['DELETE', '/delete/a'], ['GET', '/exists/a'], ['GET', '/keys'], ['GET', '/stats'], ['GET', '/config'], ['POST', '/clear']] as const
  for (const [method, path] of routes) {
    for (const [query, named] of [['colour=1', 'query/colour'], ['backend=Memory', 'query/backend'], ['backend=', 'query/backend'], ['namespace=a%20b', 'query/namespace'],
      ['backend=memory&backend=redis', 'query/backend'], ['__proto__=1', 'query/__proto__'], ['nocache=true', 'query/nocache']]) {
      const response = await app.inject({ method, url: `/api/cache${path}?${query}` })
      t.equal(response.statusCode, 400, `${method} ${path}?${query}`)
      t.match(response.json(), { errors: [{ path: named }] }, `${method} ${path}?${query}`)
    }
  }
  t.equal((await app.inject('/api/cache/get/a?backend=*')).statusCode, 400)
})

void t.test('what is too deep, too large, or no JSON is refused in its own way', async (t) => {
  const cache = new Api(app, 'memory')
  const nested = (depth: number) => `{"key":"deep","value":${'['.repeat(depth)}${']'.repeat(depth)}}`
  t.equal((await cache.post('/set', nested(60))).status, 200)
  t.equal((await cache.read('deep')).status, 200)
  for (const body of [nested(100), nested(100_000), '{"key":', '{"key":"a","value":1}x', 'undefined', '\ufeff{}']) {
    t.equal((await cache.post('/set', body)).status, 400, body.slice(0, 30))
  }
  t.equal((await cache.set('a', 'x'.repeat(10_000_000))).status, 413)
  t.equal((await cache.set('a', 1, { metadata: { a: 'x'.repeat(17_000) } })).status, 400)
  t.equal((await cache.post('/set', '{"key":"a","value":1}', {}, { 'content-type': 'text/plain' })).status, 415)
  t.equal((await cache.post('/set')).status, 400)
  const wrongMethod = await app.inject({ method: 'PUT', url: '/api/cache/get/a' })
  t.equal(wrongMethod.statusCode, 405)
  t.match(wrongMethod.headers['allow'], /GET/)
})

void t.test('patterns of any form are matched in no time', async (t) => {
  const cache = new Api(app, 'memory')
  await cache.post('/set-batch', Array.from({ length: 1000 }, (_, index) => ({ key: `${'a'.repeat(240)}${index}`, value: 1 })))
  const begin = performance.now()
  for (const pattern of ['*a'.repeat(60) + '*b', '[', '[a', '[]', '[^a]', '\\', 'a\\', '[z-a]', '**', '?*?*?*?', '[[:alpha:]]', '(a+)+$', '\ud83d', '*'.repeat(250)]) {
    t.equal((await cache.get('/keys', { pattern })).status, 200, hex(pattern))
  }
  t.ok(performance.now() - begin < 5000)
})

void t.test('no mixture of fields gives a 500', async (t) => {
  const scraps: unknown[] = [undefined, null, '', 'a', '\u0000', 0, -1, 1e308, true, [], ['a'], {}, { tags: ['a'] }, { a: null }, '*', 'memory', 'lru', 'json']
  let seed = 42
  const pick = () => scraps[(seed = (seed * 1103515245 + 12345) % 2147483648) % scraps.length]
  const fields = ['key', 'value', 'data_type', 'ttl', 'backend', 'strategy', 'metadata', 'namespace', 'tags', 'pattern', 'by', 'max_items', 'strategy']
  const statuses = new Set<number>()
  for (let round = 0; round < 3000; round++) {
    const body: Record<string, unknown> = {}
    for (let count = round % 4; count >= 0; count--) body[fields[(seed >> 4) % fields.length]!] = pick()
    if (round % 2 === 0) Object.assign(body, { key: 'a', value: pick() })
    const path = ['/set', '/touch', '/increment', '/invalidate', '/set-batch', '/get-batch', '/delete-batch', '/warm'][round % 8]!
    const { status } = await new Api(app, round % 3 === 0 ? 'redis' : 'memory', 'fuzz').post(path, path.includes('batch') ? [body, pick()] : body)
    if (status === 500) t.fail(`${status} ${path} ${JSON.stringify(body)}`)
    statuses.add(status)
  }
  t.ok(statuses.has(200) && statuses.has(400))
})

void t.test('a batch that names a large entry over and over is refused before its answer is made', async (t) => {
  for (const backend of ['memory', 'redis', 'database']) {
    const cache = new Api(app, backend)
    await cache.set('large', 'é'.repeat(200_000))
    t.match(await cache.post('/get-batch', Array(10).fill('large')), { status: 200, body: { found_count: 10 } })
    const before = process.memoryUsage().rss
    const { status, body } = await cache.post('/get-batch', Array(1000).fill('large'))
    t.equal(status, 413)
    t.match(body, { type: '/problems/content-too-large', detail: /fewer keys/ })
    const growth = (process.memoryUsage().rss - before) / 2 ** 20
    t.ok(growth < 200, `${backend}: ${growth.toFixed(0)} MiB for an answer of 400 MB`)
  }
})
