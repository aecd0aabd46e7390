import { setImmediate as immediate } from 'node:timers/promises'
import t from 'tap'
import { serving } from './serving-responses.js'

t.test('a write drops what it names, before its answer is sent', async (t) => {
  const { app, get } = await serving(t, undefined, { tags: ['values', 'ä'] })
  let seen = ''
  app.post('/value', { config: { invalidates: ['GET:/value'] } }, async (_request, reply) => {
    reply.afterInvalidation = () => { seen = 'settled' }
    return { written: true }
  })
  app.put('/tagged', { config: { invalidates: () => ['values'] } }, async () => ({}))
  app.put('/failing', { config: { invalidates: ['values'] } }, async () => { throw new Error('It failed') })
  app.put('/faulty', { config: { invalidates: () => { throw new Error('No names') } } }, async () => ({ done: true }))
  await get()
  t.equal((await get()).headers['cache-groups'], '"values", "%C3%A4"')
  await get({}, '/value?a=1')
  await get({}, '/value?a=1&b=2')
  const cached = async (url = '/value') => /hit/.test(String((await get({}, url)).headers['cache-status']))
  const written = await app.inject({ method: 'POST', url: '/value' })
  t.equal(written.headers['cache-group-invalidation'], '"GET:/value"')
  t.equal(seen, 'settled')
  for (const url of ['/value', '/value?a=1', '/value?a=1&b=2']) t.notOk(await cached(url), url)
  t.ok(await cached())
  t.equal((await app.inject({ method: 'PUT', url: '/failing' })).statusCode, 500)
  t.ok(await cached())
  t.equal((await app.inject({ method: 'PUT', url: '/tagged' })).statusCode, 200)
  t.notOk(await cached())
  t.notOk(await cached('/value?a=1'))
  t.equal((await app.inject({ method: 'PUT', url: '/faulty' })).body, '{"done":true}')
  t.equal(app.responseCache.counts.failedInvalidations, 1)
  await app.responseCache.drop('GET:/value?a=1')
  t.notOk(await cached('/value?a=1'))
  t.ok(await cached())
})

t.test('what is answered while it is dropped is not kept', async (t) => {
  for (const how of ['the key', 'a tag', 'a variant']) {
    let release = () => {}
    const { app, get } = await serving(t, async (_request, reply, n) => {
      if (how === 'a variant') reply.header('vary', 'x-a')
      if (n === 1) await new Promise<void>((resolve) => { release = resolve })
      return { n }
    }, { tags: ['values'] })
    const first = get()
    while (app.responseCache.cache.counters('app').loads === 0) await immediate()
    await immediate()
    await app.responseCache.drop(how === 'a tag' ? 'values' : 'GET:/value')
    const second = await get()
    t.strictSame(second.json(), { n: 2 }, `${how}: who asks afterwards does not wait for it`)
    release()
    const answer = await first
    t.strictSame([answer.statusCode, answer.json()], [200, { n: 1 }], how)
    t.notMatch(answer.headers['cache-status'], /stored/, how)
    t.strictSame((await get()).json(), { n: 2 }, how)
  }
})
