import { setImmediate as immediate } from 'node:timers/promises'
import Fastify from 'fastify'
import t from 'tap'
import cache from '../../plugins/cache.js'
import cacheAside from '../../plugins/cache-aside.js'
import health from '../../plugins/health.js'
import metrics from '../../plugins/metrics.js'
import { DEFAULT_LIMITS } from '../../services/cache/limits.js'
import { NotFoundError } from '../../services/errors.js'
import { readingStatus } from '../../services/http-cache/cache-status.js'
import { structuredString } from '../../services/structured-string.js'
import type { Owner } from '../support/servers.js'

/** A route that counts how often its data is made. */
async function counting (owner: Owner, makeText: (n: number) => string = (n) => `value ${n}`) {
  const app = Fastify()
  owner.teardown(() => app.close())
  await app.register(health)
  await app.register(metrics, { enabled: true })
  await app.register(cache, { defaultBackend: 'memory', limits: DEFAULT_LIMITS })
  await app.register(cacheAside)
  const loads: object[] = []
  let fault: Error | undefined
  app.get<{ Querystring: { nocache?: boolean, limit?: number } }>('/value', {
    config: { scope: 'public' },
    schema: { querystring: { type: 'object', properties: { nocache: { type: 'boolean' }, limit: { type: 'integer' } } } }
  }, (_request, reply) => reply.cacheAside({
    key: 'the "value" of 100% ü',
    ttl: 60,
    load: async (page) => {
      if (fault !== undefined) throw fault
      return { text: makeText(loads.push(page)) }
    },
    telemetry: (fromCache) => ({ before: `"cached":${fromCache}`, after: '"time":0.1' })
  }))
  app.get('/brief', { config: { scope: 'public' } }, (_request, reply) => reply.cacheAside({
    key: 'brief',
    ttl: 0.001,
    load: async () => {
      if (fault !== undefined) throw fault
      return { brief: true }
    }
  }))
  app.get('/absent', { config: { scope: 'public' } }, (_request, reply) => reply.cacheAside({
    key: 'absent', ttl: 60, load: async () => { loads.push({}); throw new NotFoundError('There is none.') }
  }))
  const get = async (headers: Record<string, string> = {}, url = '/value') => await app.inject({ url, headers })
  return { app, get, loads, fail: (error: Error) => { fault = error } }
}

const KEY = 'key="the \\"value\\" of 100%25 %C3%BC"'

t.test('a read is loaded once, then answered from the cache', async (t) => {
  const { get, loads } = await counting(t)
  const miss = await get()
  t.equal(miss.body, '{"cached":false,"text":"value 1","time":0.1}')
  t.match(miss.headers, {
    'content-type': 'application/json; charset=utf-8', 'cache-status': `larder; fwd=miss; stored; ${KEY}`, age: '0', 'cache-control': 'no-cache'
  })
  const hit = await get()
  t.equal(hit.body, '{"cached":true,"text":"value 1","time":0.1}')
  t.match(hit.headers['cache-status'], /^larder; hit; ttl=(59|60); key=/)
  t.equal(hit.headers.etag, miss.headers.etag)
  t.equal(loads.length, 1)
})

t.test('many at once load once', async (t) => {
  const { get, loads } = await counting(t)
  const answers = await Promise.all(Array.from({ length: 50 }, async () => await get()))
  t.equal(loads.length, 1)
  t.equal(answers.filter(({ headers }) => headers['cache-status'] === `larder; fwd=miss; stored; collapsed; ${KEY}`).length, 49)
})

t.test('If-None-Match with the ETag is answered 304, without a body', async (t) => {
  const { app, get } = await counting(t)
  const etag = String((await get()).headers.etag)
  t.match(etag, /^"[0-9a-z]+"$/)
  for (const condition of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
    const response = await get({ 'if-none-match': condition })
    t.equal(response.statusCode, 304, condition)
    t.equal(response.body, '')
    t.equal(response.headers.etag, etag)
    t.match(response.headers['cache-status'], /^larder; hit/)
  }
  t.equal((await get({ 'if-none-match': '"x"' })).statusCode, 200)
  await app.cache.forget('the "value" of 100% ü')
  const changed = await get({ 'if-none-match': etag })
  t.equal(changed.statusCode, 200)
  t.not(changed.headers.etag, etag)
})

t.test('nocache=true and Cache-Control: no-cache go past the cache and refresh it', async (t) => {
  const { get } = await counting(t)
  await get()
  const past = await get({}, '/value?nocache=true')
  t.match(past.json(), { cached: false, text: 'value 2' })
  t.equal(past.headers['cache-status'], `larder; fwd=bypass; stored; ${KEY}`)
  t.match((await get()).json(), { cached: true, text: 'value 2' })
  t.match((await get({ 'cache-control': 'max-age=0, No-Cache' })).json(), { cached: false, text: 'value 3' })
  t.match((await get({ 'cache-control': 'max-age=10' }, '/value?nocache=false')).json(), { cached: true, text: 'value 3' })
})

t.test('no-store neither reads nor writes the cache', async (t) => {
  const { get } = await counting(t)
  const past = await get({ 'cache-control': 'no-store' })
  t.match(past.json(), { cached: false, text: 'value 1' })
  t.equal(past.headers['cache-status'], 'larder; fwd=bypass')
  t.match(past.headers.etag, /^"[0-9a-f]{32}"$/)
  t.equal(past.headers.age, undefined)
  t.match((await get()).json(), { cached: false, text: 'value 2' })
  t.match((await get({ 'cache-control': 'no-store' })).json(), { cached: false, text: 'value 3' })
  t.match((await get()).json(), { cached: true, text: 'value 2' })
})

t.test('a page of a list is loaded past the cache', async (t) => {
  const { get, loads } = await counting(t)
  for (let n = 0; n < 2; n++) {
    const page = await get({}, '/value?limit=2')
    t.match(page.headers, { 'cache-status': 'larder; fwd=bypass', etag: /^"[0-9a-f]{32}"$/ })
    t.equal(page.headers.age, undefined)
  }
  t.match(loads, [{ limit: 2 }, { limit: 2 }])
  t.equal((await get({ 'cache-control': 'only-if-cached' }, '/value?limit=2')).statusCode, 504)
  const same = await counting(t, () => 'always the same')
  const { headers: { etag } } = await same.get({}, '/value?limit=2')
  t.equal((await same.get({ 'if-none-match': String(etag) }, '/value?limit=2')).statusCode, 304)
})

t.test('an error is answered as one and not kept', async (t) => {
  const { get, loads } = await counting(t)
  for (let n = 1; n <= 2; n++) {
    t.equal((await get({}, '/absent')).statusCode, 404)
    t.equal(loads.length, n)
  }
})

t.test('a failing origin', async (t) => {
  const down = new Error('The origin is down')
  const gone = new NotFoundError('It is gone.')

  t.test('is stood in for by an old value, unless it says that there is none', async (t) => {
    for (const [fault, status] of [[down, 200], [gone, 404]] as const) {
      const { app, get, fail } = await counting(t)
      await get({}, '/brief')
      // Its time is over in a millisecond.
      while (app.cache.peek('app', 'brief') !== undefined) await immediate()
      fail(fault)
      const response = await get({}, '/brief')
      t.equal(response.statusCode, status)
      if (status === 200) t.match(response.headers['cache-status'], /^larder; hit; ttl=-\d+; key="brief"$/)
    }
  })

  t.test('is not hidden from who goes past the cache, and what it says is gone is dropped', async (t) => {
    const { get, fail } = await counting(t)
    await get()
    fail(down)
    t.equal((await get({}, '/value?nocache=true')).statusCode, 500)
    t.match((await get()).json(), { cached: true, text: 'value 1' })
    fail(gone)
    t.equal((await get({}, '/value?nocache=true')).statusCode, 404)
    t.equal((await get()).statusCode, 404)
  })
})

t.test('what fetch sends along with If-None-Match, no-cache, is answered 304 where the data is the same', async (t) => {
  let text = 'as it was'
  const { get, loads } = await counting(t, () => text)
  const headers = { 'if-none-match': String((await get()).headers.etag), 'cache-control': 'no-cache', pragma: 'no-cache' }
  const unchanged = await get(headers)
  t.strictSame([unchanged.statusCode, unchanged.headers['cache-status'], loads.length], [304, `larder; fwd=bypass; stored; ${KEY}`, 2])
  text = 'as it is now'
  t.match(await get(headers), { statusCode: 200, body: /as it is now/ })
})

t.test('text that takes many bytes, or is long, comes out whole', async (t) => {
  for (const text of ['ü😀\u0000\ud800', 'x'.repeat(100_000), 'ä'.repeat(100_000)]) {
    const { get } = await counting(t, () => text)
    for (const cached of [false, true]) t.strictSame((await get()).json(), { cached, text, time: 0.1 })
  }
})

t.test('Cache-Status says what happened in the words of RFC 9211', async (t) => {
  const status = (of: Partial<Parameters<typeof readingStatus>[0]>) => readingStatus({ status: 'hit', stored: true, ttl: 59.9, ...of }, 'k')
  t.equal(status({}), 'larder; hit; ttl=59; key="k"')
  t.equal(status({ ttl: Infinity }), 'larder; hit; key="k"')
  t.equal(status({ status: 'stale', ttl: -4.2 }), 'larder; hit; ttl=-5; key="k"')
  t.equal(status({ status: 'miss', stored: false }), 'larder; fwd=miss; key="k"')
})

t.test('keys of any characters become structured strings', async (t) => {
  t.equal(structuredString('GET:/api/posts/'), '"GET:/api/posts/"')
  t.equal(structuredString('a"b\\c'), '"a\\"b\\\\c"')
  t.equal(structuredString('50%\r\n\0é'), '"50%25%0D%0A%00%C3%A9"')
  t.match(structuredString(String.fromCharCode(...Array(256).keys())), /^"[\x20-\x7e]*"$/)
})
