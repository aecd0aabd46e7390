import t from 'tap'
import { Api, startApp } from './cache/api.js'

const app = await startApp(t)

/** Every printable ASCII character, and a few of each other kind: by bytes, by direction, by plane, by combination. */
const PRINTABLE = [
  ...Array.from({ length: 0x7f - 0x20 }, (_, index) => String.fromCharCode(0x20 + index)),
  ...'\u00a0\u00ad\u00ffĀſßİıΣςЖא؟ﷺठ漢字かナ한ไ\u0301\u200b\u200d\u200e\u202e\u2028\u2029\u2060\ue000\ufeff\ufffd\uffff',
  '\u{10000}', '\u{1F600}', '\u{1F468}\u200d\u{1F469}\u200d\u{1F467}', '\u{E0001}', '\u{10FFFF}', 'e\u0301', 'é'
]
const ODD = [
  '%', '%41', '%2F', '%252F', '%zz', '%c3', '+', ' ', '  ', 'a/b', '/', '//', '/a', 'a/', '?a=b', '#a', ':key', '::', '*', 'a*b', '[a-z]', '\\', '"', '\'', '{}',
  '__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'length', '0', '-0', 'null', 'undefined', 'true', 'NaN', '...', '.a', 'a.',
  'user:123', '${', '<script>', '\'; DROP TABLE settings; --', 'GET:/api/posts/?a=b&c=d'
]
const hex = (text: string): string => Buffer.from(text).toString('hex')

for (const backend of ['memory', 'redis', 'database']) {
  void t.test(backend, async (t) => {
    await t.test('every printable character works in a key, in a path and in a body', async (t) => {
      const cache = new Api(app, backend)
      const keys = [...PRINTABLE.map((character) => `a${character}b`), ...PRINTABLE.filter((character) => character !== '.'), ...ODD]
      const stored = await cache.post('/set-batch', keys.map((key) => ({ key, value: hex(key) })))
      t.equal(stored.body.successful_count, keys.length)
      for (const key of keys) {
        const { body: { cache_item: item } } = await cache.read(key)
        const exists = await cache.get(`/exists/${encodeURIComponent(key)}`)
        if (item?.value !== hex(key) || item.key !== key || exists.body.key !== key || !exists.body.exists) t.fail(hex(key))
      }
      const different = new Set(keys).size
      t.equal((await cache.get('/keys')).body.total_keys, different, 'no two keys are taken for one')
      const batch = await cache.post('/get-batch', keys)
      t.equal(batch.body.found_count, keys.length)
      t.strictSame(batch.body.results.map(({ key }) => hex(key!)), keys.map(hex))
      let deleted = 0
      for (const key of new Set(keys)) {
        const { body } = await cache.delete(`/delete/${encodeURIComponent(key)}`)
        if (body.found && body.key === key) deleted++
      }
      t.equal(deleted, different)
    })

    await t.test('the keys . and .. are reached by batches', async (t) => {
      const cache = new Api(app, backend)
      t.equal((await cache.post('/set-batch', [{ key: '.', value: 1 }, { key: '..', value: 2 }])).body.successful_count, 2)
      t.equal((await cache.post('/get-batch', ['.', '..'])).body.found_count, 2)
      t.equal((await cache.post('/delete-batch', ['.', '..'])).body.found_count, 2)
    })

    await t.test('a control character, or half a surrogate pair, is no part of a key', async (t) => {
      const cache = new Api(app, backend)
      const codes = [...Array.from({ length: 0x20 }, (_, index) => index), 0x7f, 0x80, 0x85, 0x9f]
      for (const code of codes) {
        const key = `a${String.fromCharCode(code)}b`
        const path = encodeURIComponent(key)
        const answers = await Promise.all([
          cache.set(key, 1), cache.get(`/get/${path}`), cache.get(`/exists/${path}`), cache.delete(`/delete/${path}`),
          cache.post('/touch', { key, ttl: 1 }), cache.post('/increment', { key })
        ])
        t.strictSame(answers.map(({ status }) => status), new Array<number>(6).fill(400), hex(key))
        t.match(answers[0].body, { type: '/problems/invalid-input', detail: /^key must not contain control characters/ })
      }
      for (const key of ['\ud800', 'a\udc00', '\udc00\ud800']) {
        t.equal((await cache.set(key, 1)).status, 400)
        t.match((await cache.post('/get-batch', [key])).body.results, [{ key, success: false, error: { status: 400 } }])
      }
      t.equal((await cache.get('/keys')).body.total_keys, 0)
    })

    await t.test('a key has up to 250 bytes', async (t) => {
      const cache = new Api(app, backend)
      for (const [key, status] of [['a'.repeat(250), 200], ['a'.repeat(251), 400], ['é'.repeat(125), 200], ['é'.repeat(126), 400], ['\u{1F600}'.repeat(62) + 'ab', 200],
        ['\u{1F600}'.repeat(63), 400], ['%'.repeat(250), 200], ['a'.repeat(1024), 400], ['a'.repeat(100_000), 400]] as const) {
        t.equal((await cache.set(key, 1)).status, status)
        if (key.length <= 1024) t.equal((await cache.read(key)).status, status)
        t.equal((await cache.post('/touch', { key, ttl: 1 })).status, status)
        t.equal((await cache.post('/get-batch', [key])).body.found_count, status === 200 ? 1 : 0)
      }
      t.equal((await cache.set('', 1)).status, 400)
    })

    await t.test('names that objects have already are ordinary names', async (t) => {
      const names = ['constructor', 'toString', 'hasOwnProperty', 'valueOf', 'prototype']
      for (const namespace of ['__proto__', ...names]) {
        const cache = new Api(app, backend, namespace)
        t.equal((await cache.get('/keys')).body.total_keys, 0)
        t.equal((await cache.set('constructor', 1)).status, 200)
        t.equal((await cache.read('constructor')).body.cache_item.value, 1)
        t.equal((await cache.read('toString')).body.found, false)
        t.equal((await cache.get('/stats')).body.statistics.hits, 1)
        t.equal((await cache.post('/clear')).body.deleted_count, 1)
      }
      const cache = new Api(app, backend)
      const metadata = { tags: ['__proto__', ...names], ...Object.fromEntries(names.map((name) => [name, name])) }
      t.equal((await cache.set('a', { constructor: 1 }, { metadata })).status, 200)
      t.strictSame((await cache.read('a')).body.cache_item.metadata, metadata)
      t.equal((await cache.post('/invalidate', { tags: ['valueOf'] })).body.deleted_count, 1)
      t.equal((await cache.post('/set', '{"key":"a","value":1,"metadata":{"__proto__":{"tags":["x"]}}}')).status, 400)
      t.equal((await cache.post('/set', '{"key":"a","value":{"constructor":{"prototype":{}}}}')).status, 400)
    })

    await t.test('tags hold to their rules', async (t) => {
      const cache = new Api(app, backend)
      const tags = [...PRINTABLE.slice(0, 60), 'a'.repeat(250)]
      t.equal((await cache.set('a', 1, { metadata: { tags } })).status, 200)
      t.strictSame((await cache.read('a')).body.cache_item.metadata.tags, tags)
      t.equal((await cache.post('/invalidate', { tags: [tags.at(-1)] })).body.deleted_count, 1)
      await cache.post('/set-batch', PRINTABLE.map((tag) => ({ key: hex(tag), value: 1, metadata: { tags: ['x', tag] } })))
      for (const tag of PRINTABLE.filter((character) => character !== 'x')) {
        const { body } = await cache.post('/invalidate', { tags: [tag] })
        if (body.deleted_count !== 1) t.fail(`${hex(tag)}: ${body.detail ?? body.deleted_count}`)
      }
      const many = Array.from({ length: 65 }, (_, index) => `t${index}`)
      for (const wrong of ['user', null, {}, [''], [1], ['a\n'], ['\u0000'], ['a'.repeat(251)], ['\ud800'], [['a']], many]) {
        const answer = await cache.set('a', 1, { metadata: { tags: wrong } })
        t.match(answer, { status: 400, body: { detail: /metadata\/tags/ } }, JSON.stringify(wrong).slice(0, 40))
      }
    })
  })
}

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
  for (const ttl of ['60', null, -1, true, [60], 1e12]) {
    wrong.push(['/set', { ...entry, ttl }, 'body/ttl'], ['/touch', { key: 'a', ttl }, 'body/ttl'], ['/increment', { key: 'a', ttl }, 'body/ttl'])
    if (ttl !== 1e12) wrong.push(['/config', { default_ttl: ttl }, 'body/default_ttl'])
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
