import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import fp from 'fastify-plugin'
import t from 'tap'
import { serving } from './serving-responses.js'

t.test('conditions', async (t) => {
  const { get, pass } = await serving(t)
  const { headers: { etag } } = await get()
  t.match(etag, /^"\w+"$/)
  pass(5)
  for (const condition of [String(etag), `W/${etag}`, `"x", ${etag}`, '*']) {
    const answer = await get({ 'if-none-match': condition })
    t.strictSame([answer.statusCode, answer.body], [304, ''], condition)
    t.match(answer.headers, { etag, age: '5', 'cache-control': 'no-cache', 'cache-status': /hit/ })
    t.equal(answer.headers['content-type'], undefined)
  }
  t.equal((await get({ 'if-none-match': '"x"' })).statusCode, 200)

  const own = await serving(t, (_request, reply, n) => reply.headers({ etag: '"a,b"', 'last-modified': 'Tue, 14 Nov 2023 22:13:20 GMT' }).send({ n }))
  t.equal((await own.get({ 'if-none-match': '"a,b"' })).statusCode, 304)
  for (const [headers, status] of [
    [{ 'if-none-match': '"z", "a,b"' }, 304], [{ 'if-none-match': '"a"' }, 200], [{ 'if-modified-since': 'Tue, 14 Nov 2023 22:13:20 GMT' }, 304],
    [{ 'if-modified-since': 'Tue, 14 Nov 2023 22:13:19 GMT' }, 200], [{ 'if-modified-since': 'nonsense' }, 200], [{ 'if-modified-since': 'Tuesday, 14-Nov-23 22:13:20 GMT' }, 304],
    [{ 'if-none-match': '"z"', 'if-modified-since': 'Tue, 14 Nov 2023 22:13:20 GMT' }, 200]
  ] as [Record<string, string>, number][]) t.equal((await own.get(headers)).statusCode, status, JSON.stringify(headers))
  t.equal(own.runs(), 1)
})

t.test('an ETag is that of the data', async (t) => {
  const data = { value: 1 }
  const { app, get, pass } = await serving(t, () => data)
  const first = String((await get()).headers.etag)
  t.match(first, /^"[0-9a-f]{32}"$/)
  const past: [headers: Record<string, string>, url?: string][] = [[{}], [{ 'cache-control': 'no-cache' }], [{ 'cache-control': 'no-store' }], [{ range: 'bytes=0-1' }], [{}, '/value?nocache=true'], [{ authorization: 'x' }]]
  for (const [headers, url] of past) {
    t.equal((await get(headers, url)).headers.etag, first, JSON.stringify([headers, url]))
    const unchanged = await get({ ...headers, 'if-none-match': first }, url)
    t.strictSame([unchanged.statusCode, unchanged.body, unchanged.headers.etag], [304, '', first], JSON.stringify([headers, url]))
  }
  pass(3600)
  await app.cache.clear(app.cache.namespace)
  t.equal((await get()).headers.etag, first, 'made anew')
  data.value = 2
  t.equal((await get({ 'cache-control': 'no-cache', 'if-none-match': first })).statusCode, 200)
  t.not((await get()).headers.etag, first)

  const types = await Promise.all(['text/plain', 'text/html', undefined].map(async (type) => {
    const { get } = await serving(t, (_request, reply) => type === undefined ? { a: 1 } : reply.type(type).send('{"a":1}'))
    const [miss, hit] = [await get(), await get()]
    t.equal(hit.headers.etag, miss.headers.etag, type ?? 'as Fastify has it')
    return miss.headers.etag
  }))
  t.equal(new Set(types).size, 3, 'of two types are two, with the same bytes')

  const stream = await serving(t, () => Readable.from(['a']))
  t.equal((await stream.get()).headers.etag, undefined)
})

t.test('what a hook compresses has a weak ETag, and what a handler does a strong one', async (t) => {
  const compress = fp(async (app) => {
    app.addHook('onSend', async (request, reply, payload) => {
      if (request.headers['accept-encoding'] !== 'gzip' || reply.hasHeader('content-encoding') || typeof payload !== 'string') return payload
      reply.header('content-encoding', 'gzip').header('vary', 'Accept-Encoding').removeHeader('content-length')
      return gzipSync(payload)
    })
  })
  const { get } = await serving(t, undefined, {}, [compress])
  const plain = String((await get()).headers.etag)
  for (const control of ['max-age=60', 'no-store']) {
    const encoded = await get({ 'accept-encoding': 'gzip', 'cache-control': control, ...control === 'no-store' && { range: 'bytes=0-1' } })
    t.match(encoded.headers, { 'content-encoding': 'gzip', etag: /^W\/"/ }, control)
  }
  for (const condition of [plain, `W/${plain}`]) t.equal((await get({ 'accept-encoding': 'gzip', 'if-none-match': condition })).statusCode, 304)
  const own = await serving(t, (_request, reply) => reply.header('content-encoding', 'gzip').type('text/plain').send(gzipSync('text')), {}, [compress])
  for (const kind of ['miss', 'hit']) t.match((await own.get({ 'accept-encoding': 'gzip' })).headers, { 'content-encoding': 'gzip', etag: /^"/ }, kind)
})
