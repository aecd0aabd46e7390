import type { Socket } from 'node:net'
import { setImmediate as immediate } from 'node:timers/promises'
import t from 'tap'
import deadlines from '../../plugins/deadlines.js'
import type { Principal } from '../../services/access/principal.js'
import { type Handler, KEY, serving } from './serving-responses.js'

t.test('of many at once one runs the route', async (t) => {
  for (const [name, handler, code] of [
    ['an answer', async () => { await immediate(); return { a: 1 } }, 200],
    ['an error', async () => { await immediate(); throw new Error('It failed') }, 500],
    ['no such thing', async (_request, reply) => { await immediate(); return reply.code(404).send({ none: true }) }, 404]
  ] satisfies [string, Handler, number][]) {
    const { get, runs } = await serving(t, handler)
    const answers = await Promise.all(Array.from({ length: 50 }, async () => await get()))
    t.equal(runs(), 1, name)
    t.ok(answers.every(({ statusCode, body }) => statusCode === code && body === answers[0]?.body), name)
    if (code === 200) t.equal(answers.filter(({ headers }) => headers['cache-status'] === `larder; fwd=miss; stored; collapsed; ${KEY}`).length, 49)
  }
})

t.test('who asks', async (t) => {
  const asking: Record<string, string>[] = [{ authorization: 'Bearer a' }, { 'x-api-key': 'a' }, { cookie: 'session=a' }]
  const handler: Handler = (request, _reply, n) => ({ n, for: request.headers.authorization ?? request.headers['x-api-key'] ?? request.headers.cookie ?? null })

  t.test('gets nothing that was made for another', async (t) => {
    const { get } = await serving(t, handler)
    for (const headers of asking) {
      for (let n = 0; n < 2; n++) {
        const answer = await get(headers)
        t.match(answer.json(), { for: Object.values(headers)[0] })
        t.notMatch(answer.headers['cache-status'], /stored|hit/)
        t.equal(answer.headers['cache-control'], 'private, no-cache')
      }
    }
    t.match((await get()).json(), { for: null })
    t.match((await get()).headers['cache-status'], /hit/)
    for (const headers of asking) t.match((await get(headers)).json(), { for: Object.values(headers)[0] })
    const together = await Promise.all([{}, ...asking, ...asking, {}].map(async (headers) => (await get({ 'cache-control': 'no-cache', ...headers })).json<{ for: string | null }>().for))
    t.strictSame(together, [null, 'Bearer a', 'a', 'session=a', 'Bearer a', 'a', 'session=a', null])
  })

  t.test('shares what says that it is for everybody', async (t) => {
    for (const control of ['public', 's-maxage=60', 'max-age=60, must-revalidate']) {
      const { get, runs } = await serving(t, (_request, reply, n) => reply.header('cache-control', control).send({ n }))
      for (const headers of [...asking, {}]) t.strictSame((await get(headers)).json(), { n: 1 }, control)
      t.equal(runs(), 1)
    }
    const { get, runs } = await serving(t, undefined, { for: 'everyone' })
    for (const headers of [...asking, {}]) t.strictSame((await get(headers)).json(), { n: 1 })
    t.equal(runs(), 1)
  })

  t.test('has a response of their own where the route is for its caller', async (t) => {
    const { app, get, runs } = await serving(t, handler, { for: 'caller' })
    for (let round = 0; round < 2; round++) {
      for (const headers of [...asking, {}]) {
        const answer = await get(headers)
        t.match(answer.json(), { for: Object.values(headers)[0] ?? null })
        t.match(answer.headers, { 'cache-control': 'private, no-cache', 'cache-status': round === 0 ? /stored/ : /hit/ })
      }
    }
    t.equal(runs(), 4)
    t.ok(await app.responseCache.has('GET:/value'))
    await app.responseCache.drop('GET:/value')
    for (const headers of [...asking, {}]) t.match((await get(headers)).headers['cache-status'], /stored/)
  })
})

t.test('a cookie that a hook sets is nobody else’s', async (t) => {
  const { app, get, runs } = await serving(t)
  app.addHook('onSend', async (_request, reply) => { reply.header('set-cookie', 'a=b') })
  for (let n = 0; n < 2; n++) t.equal((await get()).headers['set-cookie'], 'a=b')
  t.equal(runs(), 2)
})

t.test('what is about one caller is not told to those who wait', async (t) => {
  const { get, runs } = await serving(t, async (_request, reply, n) => {
    await immediate()
    if (n === 1) throw Object.assign(new Error('Not you'), { statusCode: 403 })
    reply.header('set-cookie', `n=${n}`)
    return { n }
  })
  const answers = await Promise.all([get(), get(), get()])
  t.strictSame(answers.map(({ statusCode }) => statusCode), [403, 200, 200])
  t.strictSame(answers.map(({ headers }) => headers['set-cookie']), [undefined, 'n=2', 'n=3'])
  t.equal(runs(), 3)
})

t.test('whoever leaves before the answer takes it from nobody', async (t) => {
  for (const fails of [false, true]) {
    let release = () => {}
    let socket: Socket | undefined
    const { app, runs } = await serving(t, async (request, _reply, n) => {
      socket ??= request.socket
      if (n === 1) await new Promise<void>((resolve) => { release = resolve })
      if (fails && n === 1) throw new Error('The caller left')
      return { n }
    })
    const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/value`
    const leaving = new AbortController()
    const first = fetch(url, { signal: leaving.signal }).catch(() => 'left')
    while (runs() === 0) await immediate()
    const others = [fetch(url), fetch(url)]
    while (app.responseCache.cache.counters('app').coalesced < 2) await immediate()
    leaving.abort()
    t.equal(await first, 'left')
    while (socket?.destroyed === false) await immediate()
    release()
    for (const answer of await Promise.all(others)) t.strictSame(await answer.json(), { n: fails ? 2 : 1 })
    t.equal(runs(), fails ? 2 : 1)
  }
})

t.test('a route that takes too long is 504 for all, and runs once', async (t) => {
  let release = () => {}
  const { get, runs } = await serving(t, async (_request, _reply, n) => {
    if (n === 1) await new Promise<void>((resolve) => { release = resolve })
    return { n }
  }, { timeout: 50 })
  const answers = await Promise.all([get(), get()])
  t.strictSame(answers.map(({ statusCode }) => statusCode), [504, 504])
  t.equal(runs(), 1)
  release()
  await immediate()
  await immediate()
  t.strictSame((await get()).json(), { n: 2 })
})

t.test('whom a gatekeeper cannot tell apart is told apart by what they send', async (t) => {
  const handler: Handler = (request, _reply, n) => ({ n, for: [request.headers.cookie, request.headers.authorization, request.headers['x-api-key'], request.ip] })
  const { app, get, runs } = await serving(t, handler, { for: 'caller' })
  let principal = { kind: 'anonymous', id: '' }
  app.decorateRequest('principal', { getter: () => principal as Principal })
  const differs = async (one: Record<string, string>, other: Record<string, string>) => {
    const [before, answers] = [runs(), [await get(one), await get(other), await get(one), await get(other)]]
    t.equal(runs() - before, 2, `${JSON.stringify(principal)}: ${JSON.stringify([one, other])}`)
    for (const [at, answer] of answers.entries()) t.equal(answer.body, answers[at % 2]?.body)
  }
  for (const known of [{ kind: 'anonymous', id: '' }, { kind: 'local', id: 'local' }, { kind: 'of another', id: 'gatekeeper' }]) {
    principal = known
    await differs({ cookie: 'session=alice' }, { cookie: 'session=bob' })
    await differs({ authorization: 'Basic alice' }, { authorization: 'Basic bob' })
    await differs({ 'x-api-key': 'alice' }, { 'x-api-key': 'bob' })
  }
  principal = { kind: 'api_key', id: 'key:1' }
  await differs({ 'x-api-key': 'secret', cookie: 'session=alice' }, { 'x-api-key': 'secret', cookie: 'session=bob' })
  const before = runs()
  await get({ 'x-api-key': 'secret' })
  await get({ authorization: 'Bearer secret' })
  t.equal(runs() - before, 1, 'a principal stands for their credential')
  principal = { kind: 'api_key', id: 'key:2' }
  await get({ 'x-api-key': 'secret' })
  t.equal(runs() - before, 2)

  principal = { kind: 'anonymous', id: '' }
  const from = async (remoteAddress: string) => (await app.inject({ url: '/value', remoteAddress })).json<{ for: string[] }>().for.at(-1)
  for (const address of ['192.0.2.1', '192.0.2.2', '192.0.2.1']) t.equal(await from(address), address)

  const { cache } = app.responseCache
  const { entries } = await cache.list('app', { pattern: '*', limit: 100 })
  t.ok(entries.length > 10)
  for (const { key } of entries) t.notMatch(key, /alice|bob|secret|192\.0\.2/, 'no key says who it is for')
})

t.test('what a route throws for a caller with a credential is told to nobody else, and the other way round', async (t) => {
  for (const statusCode of [404, 410, 500, 503, undefined]) {
    for (const isSent of statusCode === 404 ? [false, true] : [false]) {
      const failing = new Set<string | undefined>()
      const { get, runs } = await serving(t, async (request, reply, n) => {
        const { cookie } = request.headers
        await immediate()
        if (!failing.has(cookie)) return { n, for: cookie ?? null }
        if (isSent) return reply.code(404).send({ none: true })
        throw Object.assign(new Error(`Nothing for ${cookie}`), statusCode === undefined ? {} : { statusCode })
      })
      const name = `${isSent ? 'sent' : 'thrown'} ${statusCode}`
      failing.add('who=alice')
      const alice = { cookie: 'who=alice' }
      const first = await Promise.all([get(alice), get({ cookie: 'who=bob' }), get()])
      t.strictSame(first.map((answer) => answer.statusCode), [statusCode ?? 500, 200, 200], name)
      t.strictSame(first.slice(1).map((answer) => answer.json<{ for: unknown }>().for), ['who=bob', null], name)
      t.equal(runs(), 3, name)
    }
  }
  const { get, runs } = await serving(t, async (request) => {
    await immediate()
    if (request.headers.cookie === undefined) throw new Error('Who are you?')
    return { for: request.headers.cookie }
  })
  const answers = await Promise.all([get(), get(), get({ cookie: 'who=alice' })])
  t.strictSame(answers.map((answer) => answer.statusCode), [500, 500, 200])
  t.equal(runs(), 2)
})

t.test('whose time is over, or who leaves, fails nobody who waits', async (t) => {
  for (const by of ['deadline', 'client'] as const) {
    for (const isStale of [false, true]) {
      let isSlow = false
      const { app, runs, pass } = await serving(t, async (_request, reply, n) => {
        // As a query does that is given `reply.call`.
        if (isSlow) await new Promise((_resolve, reject) => { reply.call.signal?.addEventListener('abort', () => { reject(reply.call.signal?.reason as Error) }) })
        return { n }
      }, { staleIfError: 600 }, [deadlines])
      app.addHook('onRequest', (request, reply, done) => { done(request.headers['request-timeout'] === undefined ? undefined : app.beginDeadline?.(request, reply)) })
      const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/value`
      if (isStale) {
        await (await fetch(url)).text()
        pass(100)
      }
      const before = runs()
      isSlow = true
      const leaving = new AbortController()
      const first = fetch(url, by === 'deadline' ? { headers: { 'request-timeout': '0.2' } } : { signal: leaving.signal }).then(({ status }) => status, () => 'left')
      while (runs() === before) await immediate()
      isSlow = false
      const { cache } = app.responseCache
      const others = [fetch(url), fetch(url), fetch(url)]
      while (cache.counters('app').coalesced < 3) await immediate()
      leaving.abort()
      t.equal(await first, by === 'deadline' ? 504 : 'left')
      for (const answer of await Promise.all(others)) t.strictSame([answer.status, await answer.json()], [200, { n: before + 2 }], `${by} ${isStale}`)
      t.equal(runs(), before + 2)
    }
  }
})

t.test('who waits and has no more time is told so alone', async (t) => {
  let release = () => {}
  const { app, runs } = await serving(t, async (_request, _reply, n) => {
    await new Promise<void>((resolve) => { release = resolve })
    return { n }
  }, {}, [deadlines])
  app.addHook('onRequest', (request, reply, done) => { done(request.headers['request-timeout'] === undefined ? undefined : app.beginDeadline?.(request, reply)) })
  const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/value`
  const first = fetch(url)
  while (runs() === 0) await immediate()
  t.equal((await fetch(url, { headers: { 'request-timeout': '0.05' } })).status, 504)
  release()
  t.strictSame(await (await first).json(), { n: 1 })
  t.equal(runs(), 1)
})
