import { setImmediate as immediate } from 'node:timers/promises'
import { Readable } from 'node:stream'
import Fastify, { type FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import t from 'tap'
import health from '../../plugins/health.js'
import metrics from '../../plugins/metrics.js'
import responseCache, { type ResponseCaching } from '../../plugins/response-cache.js'
import { NotFoundError } from '../../services/errors.js'
import { type Handler, KEY, MISS, serving } from './serving-responses.js'

t.test('an answer is made once, then served', async (t) => {
  const { get, runs, pass } = await serving(t)
  const miss = await get()
  t.equal(miss.body, '{"n":1}')
  t.match(miss.headers, { 'cache-status': MISS, age: '0', 'cache-control': 'no-cache', 'content-type': 'application/json; charset=utf-8' })
  pass(10)
  const hit = await get()
  t.equal(hit.body, '{"n":1}')
  t.match(hit.headers, { 'cache-status': `larder; hit; ttl=50; ${KEY}`, age: '10', etag: miss.headers.etag, 'content-type': miss.headers['content-type'] })
  pass(50)
  t.equal((await get()).headers['cache-status'], MISS)
  t.equal(runs(), 2)
})

t.test('what a handler may answer with', async (t) => {
  const kept: Record<string, [Handler, body: string | Buffer, type: string]> = {
    'an object': [(_request, _reply, n) => ({ n }), '{"n":1}', 'application/json; charset=utf-8'],
    'an object, through a promise': [async () => ({ ü: '😀' }), '{"ü":"😀"}', 'application/json; charset=utf-8'],
    'an object that is sent': [(_request, reply) => reply.send([1]), '[1]', 'application/json; charset=utf-8'],
    'an object that is sent later': [(_request, reply) => { setImmediate(() => { void reply.send({ later: true }) }) }, '{"later":true}', 'application/json; charset=utf-8'],
    'an object that is sent later by a promise': [async (_request, reply) => { await immediate(); return reply.send({ later: true }) }, '{"later":true}', 'application/json; charset=utf-8'],
    'a string': [() => 'text with "quotes" \u{1F600}\n', 'text with "quotes" \u{1F600}\n', 'text/plain; charset=utf-8'],
    'a string of JSON': [(_request, reply) => reply.type('application/json').send('{ "a": 1.0 }'), '{ "a": 1.0 }', 'application/json; charset=utf-8'],
    'an empty string': [() => '', '', 'text/plain; charset=utf-8'],
    bytes: [() => Buffer.from([0, 255, 1]), Buffer.from([0, 255, 1]), 'application/octet-stream'],
    'a long text': [() => 'ä'.repeat(100_000), 'ä'.repeat(100_000), 'text/plain; charset=utf-8'],
    'a long object': [() => ({ text: 'ä'.repeat(100_000) }), `{"text":"${'ä'.repeat(100_000)}"}`, 'application/json; charset=utf-8']
  }
  for (const [name, [handler, body, type]] of Object.entries(kept)) {
    const { get, runs } = await serving(t, handler)
    for (const status of [MISS, `larder; hit; ttl=60; ${KEY}`]) {
      const answer = await get()
      t.strictSame(answer.rawPayload, Buffer.from(body), `${name}: ${status}`)
      t.equal(answer.headers['content-type'], type, name)
      t.equal(answer.headers['cache-status'], status, name)
      t.equal(answer.headers['content-length'], String(Buffer.byteLength(body)), name)
    }
    t.equal(runs(), 1, name)
  }
  const notKept: Record<string, [Handler, status: number, body: string]> = {
    'a stream': [() => Readable.from(['a', 'b']), 200, 'ab'],
    nothing: [async () => undefined, 200, ''],
    'a reply that it took over': [(_request, reply) => { reply.hijack(); reply.raw.end('raw') }, 200, 'raw'],
    'another status': [(_request, reply) => reply.code(201).send({ a: 1 }), 201, '{"a":1}'],
    'a redirection': [(_request, reply) => reply.redirect('/elsewhere'), 302, ''],
    'no such thing': [(_request, reply) => { reply.callNotFound() }, 404, '{"message":"Route GET:/value not found","error":"Not Found","statusCode":404}'],
    '404, sent': [(_request, reply) => reply.code(404).send({ none: true }), 404, '{"none":true}'],
    '404, thrown': [async () => { throw new NotFoundError('None.') }, 404, '{"statusCode":404,"code":"ERR_NOT_FOUND","error":"Not Found","message":"None."}'],
    'an error, sent': [(_request, reply) => reply.send(new Error('It failed')), 500, '{"statusCode":500,"error":"Internal Server Error","message":"It failed"}'],
    'an error, thrown at once': [() => { throw new Error('It failed') }, 500, '{"statusCode":500,"error":"Internal Server Error","message":"It failed"}']
  }
  for (const [name, [handler, status, body]] of Object.entries(notKept)) {
    const { get, runs } = await serving(t, handler)
    for (const run of [1, 2]) {
      const answer = await get()
      t.strictSame([answer.statusCode, answer.body], [status, body], name)
      t.notMatch(answer.headers['cache-status'] ?? '', /hit|stored/, name)
      t.equal(runs(), run, name)
    }
  }
})

t.test('what the request says', async (t) => {
  const hit = (ttl: number) => `larder; hit; ttl=${ttl}; ${KEY}`
  const again = (why: string) => `larder; fwd=${why}; stored; ${KEY}`
  /** After `age` seconds of a response that is fresh for 60, and may stand in for 600 more. */
  const cells: [headers: Record<string, string>, age: number, status: string, n: number, then: number][] = [
    [{}, 30, hit(30), 1, 1],
    [{}, 90, again('stale'), 2, 2],
    [{ 'cache-control': 'no-cache' }, 30, again('bypass'), 2, 2],
    [{ 'cache-control': 'NO-CACHE, max-age=100' }, 30, again('bypass'), 2, 2],
    [{ 'cache-control': 'no-store' }, 30, 'larder; fwd=bypass', 2, 1],
    [{ pragma: 'no-cache' }, 30, again('bypass'), 2, 2],
    [{ pragma: 'no-cache', 'cache-control': 'max-age=100' }, 30, hit(30), 1, 1],
    [{ 'cache-control': 'max-age=30' }, 30, hit(30), 1, 1],
    [{ 'cache-control': 'max-age=29' }, 30, again('request'), 2, 2],
    [{ 'cache-control': 'max-age=0' }, 0, again('request'), 2, 2],
    [{ 'cache-control': 'max-age="40"' }, 30, hit(30), 1, 1],
    [{ 'cache-control': 'max-age=nonsense' }, 30, again('request'), 2, 2],
    [{ 'cache-control': 'max-age=1000' }, 90, again('stale'), 2, 2],
    [{ 'cache-control': 'min-fresh=30' }, 30, hit(30), 1, 1],
    [{ 'cache-control': 'min-fresh=31' }, 30, again('request'), 2, 2],
    [{ 'cache-control': 'max-stale' }, 90, hit(-30), 1, 2],
    [{ 'cache-control': 'max-stale=30' }, 90, hit(-30), 1, 2],
    [{ 'cache-control': 'max-stale=29' }, 90, again('stale'), 2, 2],
    [{ 'cache-control': 'max-stale=30, max-age=89' }, 90, again('stale'), 2, 2],
    [{ 'cache-control': 'max-stale=30, max-age=90' }, 90, hit(-30), 1, 2],
    [{ 'cache-control': 'max-stale=30, min-fresh=1' }, 90, again('stale'), 2, 2],
    [{ 'cache-control': 'only-if-cached' }, 30, hit(30), 1, 1],
    [{ range: 'bytes=0-1' }, 30, 'larder; fwd=bypass; detail="range"', 2, 1],
    [{ 'cache-control': 'unknown="a, no-store", foo=bar' }, 30, hit(30), 1, 1],
    [{ 'cache-control': ',, ;;; ="x' }, 30, hit(30), 1, 1],
    [{ pragma: 'unknown' }, 30, hit(30), 1, 1]
  ]
  for (const [headers, age, expected, n, then] of cells) {
    const { get, pass } = await serving(t, undefined, { staleIfError: 600 })
    await get()
    pass(age)
    const answer = await get(headers)
    const name = `${JSON.stringify(headers)} after ${age} s`
    t.equal(answer.headers['cache-status'], expected, name)
    t.strictSame(answer.json(), { n }, name)
    t.equal(answer.headers['age'], expected.includes('hit') ? String(age) : expected.includes('stored') ? '0' : undefined, name)
    if (expected.includes('hit; ttl=-')) await immediate()
    t.strictSame((await get({ 'cache-control': 'max-stale' })).json(), { n: then }, `${name}: what is cached then`)
  }
  const { get, runs } = await serving(t)
  const none = await get({ 'cache-control': 'only-if-cached' })
  t.equal(none.statusCode, 504)
  t.equal(none.json<{ code: string }>().code, 'ERR_NOT_CACHED')
  await get()
  t.equal((await get({ 'cache-control': 'only-if-cached, min-fresh=61' })).statusCode, 504)
  t.equal(runs(), 1)
})

t.test('?nocache=true goes past the cache and refreshes it, and is no part of the key', async (t) => {
  const { get } = await serving(t)
  await get()
  const past = await get({}, '/value?nocache=true')
  t.strictSame([past.headers['cache-status'], past.body], [`larder; fwd=bypass; stored; ${KEY}`, '{"n":2}'])
  t.equal((await get({}, '/value?nocache=false')).body, '{"n":2}')
  t.equal((await get({}, '/value?')).body, '{"n":2}')
})

t.test('what the response says', async (t) => {
  type Cell = [headers: Record<string, string | string[]>, caching: Partial<ResponseCaching>, ttl: number | undefined]
  const cells: Cell[] = [
    [{}, {}, 60],
    [{}, { ttl: 0 }, Infinity],
    [{}, { ttl: () => 7 }, 7],
    [{ 'cache-control': 'max-age=5' }, {}, 5],
    [{ 'cache-control': 'max-age=5, s-maxage=9' }, {}, 9],
    [{ 'cache-control': 's-maxage=9, max-age=5' }, { for: 'caller' }, 5],
    [{ 'cache-control': 'max-age=5, max-age=9' }, {}, 5],
    [{ 'cache-control': 'max-age=0' }, {}, undefined],
    [{ 'cache-control': 'max-age=x' }, {}, undefined],
    [{ 'cache-control': 'no-store' }, {}, undefined],
    [{ 'cache-control': 'no-store' }, { for: 'everyone' }, undefined],
    [{ 'cache-control': 'private, max-age=5' }, {}, undefined],
    [{ 'cache-control': 'private="x"' }, {}, undefined],
    [{ 'cache-control': 'private, max-age=5' }, { for: 'everyone' }, undefined],
    [{ 'cache-control': 'private, max-age=5' }, { for: 'caller' }, 5],
    [{ 'cache-control': 'no-cache' }, {}, undefined],
    [{ 'set-cookie': 'a=b' }, {}, undefined],
    [{ 'set-cookie': ['a=b', 'c=d'] }, { for: 'caller' }, undefined],
    [{ vary: '*' }, {}, undefined],
    [{ age: '4', 'cache-control': 'max-age=9' }, {}, 5],
    [{ age: '4' }, {}, 60],
    [{ expires: 'Tue, 14 Nov 2023 22:13:50 GMT', date: 'Tue, 14 Nov 2023 22:13:20 GMT' }, {}, 30],
    [{ expires: 'Fri, 31 Dec 9999 23:59:59 GMT' }, { staleIfError: Infinity }, 2 ** 31],
    [{}, { ttl: 1e300, staleWhileRevalidate: 1e300 }, 2 ** 31],
    [{ expires: '0' }, {}, undefined],
    [{ expires: '0', 'cache-control': 'max-age=3' }, {}, 3],
    [{ 'cache-control': 'public' }, {}, 60],
    // What the public suite for HTTP caches (http-tests/cache-tests) asks for, where a cache in front of a handler can be asked.
    [{ 'cache-control': 'max-age=003600' }, {}, 3600],
    [{ 'cache-control': 'a="max-age=3600", max-age=5' }, {}, 5],
    [{ 'cache-control': 'a="max-age=3600"' }, {}, 60],
    [{ 'cache-control': "max-age='3600'" }, {}, undefined],
    [{ 'cache-control': 'max-age=3600.5' }, {}, undefined],
    [{ 'cache-control': 'MaX-aGe=7' }, {}, 7],
    [{ 'cache-control': ['max-age=5', 'max-age=9'] }, {}, 5],
    [{ 'cache-control': 'max-age=9', pragma: 'no-cache' }, {}, 9],
    [{ 'cache-control': 'max-age=9', 'x-unknown': 'b', 'content-disposition': 'attachment' }, {}, 9],
    [{ age: '100', 'cache-control': 'max-age=9' }, {}, undefined],
    [{ age: '2147483648', 'cache-control': 'max-age=3600' }, {}, undefined],
    ...[['abc', 9], ['-100', 9], ['100.5', 9], ['100, 0', undefined], ['0, 100', 9]].map(([age, ttl]): Cell => [{ age: String(age), 'cache-control': 'max-age=9' }, {}, ttl as number | undefined]),
    ...['*, *', ', *', 'X-A, *', '*, X-A'].map((vary): Cell => [{ vary }, {}, undefined]),
    [{ vary: ['X-A', '*'] }, {}, undefined],
    ...[
      'Tuesday, 14-Nov-23 22:13:50 GMT', 'Tue Nov 14 22:13:50 2023', 'tue, 14 nov 2023 22:13:50 gmt'
    ].map((expires): Cell => [{ expires, date: 'Tue, 14 Nov 2023 22:13:20 GMT' }, {}, 30]),
    ...[
      'Thu, 18 Aug 2050 02:01:18 UTC', 'Thu, 18 Aug 2050 02:01:18 AEST', 'Thu, 18 Aug 50 02:01:18 GMT', 'Thu 18 Aug 2050 02:01:18 GMT', 'Thu, 18  Aug  2050 02:01:18 GMT',
      'Thu, 18-Aug-2050 02:01:18 GMT', 'Thu, 18 Aug 2050 02.01.18 GMT', 'Thu, 18 Aug 2050 2:01:18 GMT', 'Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:19 GMT', 'tomorrow'
    ].map((expires): Cell => [{ expires }, {}, undefined])
  ]
  for (const [headers, caching, ttl] of cells) {
    const { get, runs } = await serving(t, (_request, reply, n) => reply.headers(headers).send({ n }), caching)
    const name = JSON.stringify([headers, caching])
    const miss = await get()
    const next = await get()
    t.equal(runs(), ttl === undefined ? 2 : 1, name)
    t.equal(String(miss.headers['cache-status']).includes('; stored'), ttl !== undefined, name)
    for (const [header, value] of Object.entries(headers)) if (header !== 'age' && header !== 'date') t.strictSame(next.headers[header], value, name)
    if (ttl === undefined) {
      t.match(next.headers['cache-status'], /fwd=/, name)
      continue
    }
    const left = /ttl=(\d+)/.exec(String(next.headers['cache-status']))?.[1]
    // The time that it took to make is part of its age.
    if (ttl === Infinity) t.equal(left, undefined, name)
    else t.ok(Number(left) <= ttl && Number(left) >= ttl - 1, `${name}: ${left}`)
    if (/^\d*$/.test(headers['age'] as string | undefined ?? '')) t.equal(next.headers['age'], headers['age'] ?? '0', name)
  }
})

t.test('stale answers', async (t) => {
  type Cell = [caching: Partial<ResponseCaching>, control: string | undefined, staleness: number, fault: 'none' | 'throws' | 'answers 503' | 'answers 404', status: number, is: string]
  const cells: Cell[] = [
    [{}, undefined, 1, 'throws', 500, 'error'],
    [{ staleIfError: 10 }, undefined, 10, 'throws', 200, 'stale'],
    [{ staleIfError: 10 }, undefined, 10, 'answers 503', 200, 'stale'],
    [{ staleIfError: 10 }, undefined, 10, 'answers 404', 404, 'error'],
    [{ staleIfError: 10 }, undefined, 11, 'throws', 500, 'error'],
    [{ staleIfError: 10 }, undefined, 11, 'answers 503', 503, 'error'],
    [{ staleIfError: 10 }, undefined, 10, 'none', 200, 'new'],
    [{ staleIfError: 10 }, 'max-age=60, must-revalidate', 10, 'throws', 500, 'error'],
    [{ staleIfError: 10 }, 's-maxage=60', 10, 'throws', 500, 'error'],
    [{ staleIfError: 10 }, 'max-age=60, proxy-revalidate', 10, 'throws', 500, 'error'],
    [{}, 'max-age=60, stale-if-error=20', 20, 'throws', 200, 'stale'],
    [{ staleIfError: 10 }, 'max-age=60, stale-if-error=0', 1, 'throws', 500, 'error'],
    [{ staleWhileRevalidate: 10 }, undefined, 10, 'none', 200, 'stale'],
    [{ staleWhileRevalidate: 10 }, undefined, 11, 'none', 200, 'new'],
    [{ staleWhileRevalidate: 10 }, undefined, 10, 'throws', 200, 'stale'],
    [{ staleWhileRevalidate: 10 }, 'max-age=60, must-revalidate', 10, 'none', 200, 'new'],
    [{}, 'max-age=60, stale-while-revalidate=20', 20, 'none', 200, 'stale'],
    [{}, 'max-age=0, stale-while-revalidate=20', 20, 'none', 200, 'stale']
  ]
  for (const [caching, control, staleness, fault, status, is] of cells) {
    let failing = false
    const { get, pass } = await serving(t, async (_request, reply, n) => {
      if (control !== undefined) reply.header('cache-control', control)
      if (!failing || fault === 'none') return { n }
      reply.header('x-of-the-fault', 'yes')
      if (fault === 'throws') throw new Error('It failed')
      return reply.code(Number(fault.slice(-3))).send({ failed: true })
    }, caching)
    const name = JSON.stringify([caching, control, staleness, fault])
    const first = await get()
    pass((control?.startsWith('max-age=0') === true ? 0 : 60) + staleness)
    failing = true
    const answer = await get()
    t.equal(answer.statusCode, status, name)
    if (is === 'error') {
      t.notMatch(answer.headers['cache-status'] ?? '', /hit|stored/, name)
      continue
    }
    t.equal(answer.headers['x-of-the-fault'], undefined, name)
    t.equal(answer.body, is === 'stale' ? '{"n":1}' : '{"n":2}', name)
    if (is === 'stale') t.match(answer.headers['cache-status'], /; hit; ttl=-\d+; /, name)
    else t.match(answer.headers['cache-status'], /^larder; fwd=(?:stale|miss); stored; /, name)
    t.equal(answer.headers.etag === first.headers.etag, is === 'stale', name)
  }
})

t.test('a stale answer is made anew once in the background, without the caller', async (t) => {
  let release = () => {}
  const { get, pass, runs } = await serving(t, async (_request, reply, n) => {
    reply.header('x-run', n)
    if (n === 2) await new Promise<void>((resolve) => { release = resolve })
    return { n }
  }, { staleWhileRevalidate: 30 })
  await get()
  pass(61)
  const stale = await Promise.all([get(), get(), get()])
  for (const { body, headers } of stale) t.strictSame([body, headers['x-run'], headers['cache-status']], ['{"n":1}', '1', `larder; hit; ttl=-1; ${KEY}`])
  t.equal(runs(), 2)
  release()
  await immediate()
  const next = await get()
  t.strictSame([next.body, next.headers['x-run']], ['{"n":2}', '2'])
  t.match(next.headers['cache-status'], /hit; ttl=60/)
})

t.test('a response that varies is kept for each set of values', async (t) => {
  for (const [name, handler, caching] of [
    ['as it says itself', (request, reply, n) => reply.header('vary', 'Accept-Language').send({ n, language: request.headers['accept-language'] }), {}],
    ['as the route says', (request, _reply, n) => ({ n, language: request.headers['accept-language'] }), { vary: ['Accept-Language'] }]
  ] satisfies [string, Handler, Partial<ResponseCaching>][]) {
    const { app, get, runs } = await serving(t, handler, caching)
    const read = async (language?: string) => await get(language === undefined ? {} : { 'accept-language': language })
    const first = await read('de')
    t.equal(first.headers['cache-status'], MISS, name)
    t.match(first.headers['vary'], /^accept-language$/i, name)
    const second = await read('fr')
    t.strictSame(second.json(), { n: 2, language: 'fr' }, name)
    t.match(second.headers['cache-status'], /fwd=(?:vary-)?miss; stored/, name)
    t.strictSame((await read()).json(), { n: 3 }, name)
    for (const [language, answer] of [['de', first], ['fr', second]] as const) {
      const hit = await read(language)
      t.equal(hit.body, answer.body, name)
      t.equal(hit.headers['cache-status'], `larder; hit; ttl=60; ${KEY}`, name)
      t.equal(hit.headers.etag, answer.headers.etag, name)
      t.match(hit.headers['vary'], /^accept-language$/i, name)
      t.equal((await get({ 'accept-language': language, 'if-none-match': String(answer.headers.etag) })).statusCode, 304, name)
    }
    t.equal(runs(), 3, name)
    t.ok(await app.responseCache.has('GET:/value'), name)
    await app.responseCache.drop('GET:/value')
    t.notOk(await app.responseCache.has('GET:/value'), name)
    for (const language of ['de', 'fr']) t.match((await read(language)).headers['cache-status'], /fwd=(?:vary-)?miss; stored/, name)
    t.equal(runs(), 5, name)
  }
})

t.test('headers that a response turns out to vary by are added to those that are known', async (t) => {
  const { get } = await serving(t, (request, reply, n) => {
    reply.header('vary', n === 1 ? 'X-A' : 'X-A, X-B')
    return reply.send({ n, a: request.headers['x-a'], b: request.headers['x-b'] })
  })
  const all: Record<string, string>[] = [{ 'x-a': '1' }, { 'x-a': '2', 'x-b': '1' }, { 'x-a': '2', 'x-b': '2' }, { 'x-a': '2' }]
  for (let round = 0; round < 3; round++) {
    for (const headers of all) {
      const answer = await get(headers)
      t.match(answer.json(), { a: headers['x-a'], b: headers['x-b'] })
      if (round === 2) t.match(answer.headers['cache-status'], /hit/)
    }
  }
})

t.test('headers of the connection are not stored, and a date that the handler gave stays', async (t) => {
  const date = 'Tue, 14 Nov 2023 22:13:20 GMT'
  const { get, pass } = await serving(t, (_request, reply, n) => {
    if (n === 1) reply.headers({ connection: 'X-Hop, keep-alive', 'x-hop': '1', 'x-kept': '1' })
    return reply.header('date', date).send({ n })
  })
  await get()
  pass(10)
  const { headers } = await get()
  t.match(headers, { 'x-kept': '1', date, age: '10' })
  t.equal(headers['x-hop'], undefined)
})

t.test('HEAD is answered from what GET has stored, and the other way round', async (t) => {
  const { get, runs } = await serving(t)
  const head = await get({}, '/value', 'HEAD')
  const full = await get()
  const again = await get({}, '/value', 'HEAD')
  t.equal(runs(), 1)
  t.strictSame([head.body, full.body, again.body], ['', '{"n":1}', ''])
  for (const header of ['etag', 'content-type', 'content-length']) t.equal(head.headers[header], full.headers[header], header)
  for (const header of ['etag', 'content-type', 'content-length', 'cache-status', 'age']) t.equal(again.headers[header], full.headers[header], header)
})

t.test('the key is the path as the route is written, and the query in order', async (t) => {
  const { app } = await serving(t)
  const slashes = Fastify({ routerOptions: { ignoreTrailingSlash: true, caseSensitive: false } })
  t.teardown(() => slashes.close())
  await app.ready()
  await slashes.register(health)
  await slashes.register(metrics, { enabled: true })
  await slashes.register(fp(async (to) => { to.decorate('cache', app.cache) }, { name: 'cache' }))
  await slashes.register(responseCache)
  const config = { cache: { ttl: 60 } }
  const echo = (request: FastifyRequest) => ({ params: request.params, query: request.query })
  slashes.get('/posts/', { config }, echo)
  slashes.get('/users/:id', { config }, echo)
  slashes.get('/files/*', { config }, echo)
  slashes.get('/at/:hour(^\\d+)h:minute', { config }, echo)
  await slashes.register(async (app) => { app.get('/', { config }, echo) }, { prefix: '/under' })
  const keys: [url: string, key: string][] = [
    ['/posts/', '/posts/'], ['/posts', '/posts/'], ['/POSTS', '/posts/'], ['/posts?', '/posts/'], ['/posts?nocache=false', '/posts/'],
    ['/posts/?b=2&a=1', '/posts/?a=1&b=2'], ['/posts?a=1&b=2&nocache=0', '/posts/?a=1&b=2'], ['/posts?b=%32&%61=1', '/posts/?a=1&b=2'],
    ['/posts?a=2&a=1', '/posts/?a=2&a=1'], ['/posts?a=1&a=2', '/posts/?a=1&a=2'], ['/posts?a=x+y', '/posts/?a=x+y'], ['/posts?a=x%20y', '/posts/?a=x+y'],
    ['/posts?b=%ff&a=1', '/posts/?a=1&b=%ff'], ['/posts?b=%fe&a=1', '/posts/?a=1&b=%fe'],
    ['/users/1', '/users/1'], ['/users/%31/', '/users/1'], ['/users/a:b@c', '/users/a:b@c'], ['/users/a%2Fb', '/users/a%2Fb'], ['/users/a%3Fb', '/users/a%3Fb'],
    ['/users/%C3%BC', '/users/%C3%BC'], ['/users/a%20b', '/users/a%20b'], ['/users/a%25b', '/users/a%25b'],
    ['/files/a/b.txt', '/files/a/b.txt'], ['/files/a%2520b', '/files/a%2520b'], ['/at/10h30', '/at/10h30'], ['/under', '/under'], ['/under/', '/under']
  ]
  for (const [url, key] of keys) {
    await app.cache.clear(app.cache.namespace)
    const answer = await slashes.inject(url)
    t.equal(answer.statusCode, 200, url)
    const { entries } = await app.cache.list(app.cache.namespace, { limit: 10 })
    t.strictSame(entries.map((entry) => entry.key), [`GET:${key}`], url)
    t.match((await slashes.inject(url)).headers['cache-status'], /hit/, url)
  }
  t.throws(() => slashes.post('/x', { config }, echo), /GET alone|already/)
})

t.test('hooks', async (t) => {
  const { app, get, runs } = await serving(t, (_request, reply, n) => { reply.header('x-own', 'yes'); return { n } })
  let requests = 0
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request', ++requests)
    reply.header('vary', 'Origin')
    if (request.headers['x-forbidden'] !== undefined) await reply.code(403).send({ forbidden: true })
  })
  app.addHook('preSerialization', async (_request, _reply, payload) => ({ wrapped: payload }))
  app.addHook('onSend', async (_request, reply, payload) => {
    reply.header('vary', 'Origin, Accept-Encoding')
    return typeof payload === 'string' ? `${payload}!` : payload
  })
  for (const run of [1, 2]) {
    const answer = await get()
    t.equal(answer.body, '{"wrapped":{"n":1}}!', 'once each')
    t.match(answer.headers, { 'x-own': 'yes', 'x-request': String(run), 'content-length': '20', vary: 'Origin, Accept-Encoding', 'cache-status': run === 1 ? MISS : /hit/ })
  }
  t.equal((await get({ 'x-forbidden': 'yes' })).statusCode, 403)
  t.equal(runs(), 1)
})

t.test('what is used is counted', async (t) => {
  const { app, get } = await serving(t)
  for (let n = 0; n < 5; n++) await get()
  await get({}, '/value?a=1')
  await get({}, '/value?a=1')
  const { counts } = app.responseCache
  t.match(counts, { hits: 5, misses: 2 })
  t.strictSame(counts.top(10), [['GET:/value', 5], ['GET:/value?a=1', 2]])
  t.equal(await app.responseCache.total(), 2)
})

t.test('a stale answer at the end of its time needs leave as any other', async (t) => {
  const { get, pass } = await serving(t, undefined, { staleIfError: 10 })
  await get()
  pass(60)
  t.equal((await get()).headers['cache-status'], `larder; fwd=stale; stored; ${KEY}`)
})
