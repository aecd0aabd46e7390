/** What requests to the cache begin at a slow Redis once their caller has gone, or their Request-Timeout is over: nothing. */
import { request as ask } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { startApp } from '../routes/cache/api.js'
import { eventually } from '../support/caches.js'
import { Proxy } from '../support/proxy.js'
import { redisUrl } from '../support/servers.js'

/** Milliseconds that Redis takes for each answer, and seconds that its callers give it: some hundred of its answers come in that time, and not a thousand. */
const SLOW = 200
const TIMEOUT = 1
/** Milliseconds until nothing more is begun, with slack for a machine that others use. */
const PROMPTLY = 50 + 250

const url = await redisUrl(t)
const proxy = await Proxy.start(t, Number(new URL(url).port), 'redis')
const app = await startApp(t, { REDIS_URL: proxy.through(url), CACHE_DEADLINE: '1000', WORKER: 'false' })
const address = await app.listen({ host: '127.0.0.1', port: 0 })
const { port } = app.server.address() as AddressInfo
const cache = app.caches.get('redis')
const keys = (prefix: string) => Array.from({ length: 1000 }, (_, at) => `${prefix}-${at}`)
const entriesOf = (prefix: string) => keys(prefix).map((key) => ({ key, value: 1 }))
/** Commands that Redis was sent about entries whose keys begin so. */
const sent = (prefix: string): number => proxy.statements.filter((statement) => statement.includes(`:entry:default:${prefix}`)).length
const stored = async (prefix: string): Promise<number> => (await cache.list('default', { pattern: `${prefix}-*`, limit: 1 })).total

/** Asks while Redis is slow. */
async function slowly<T> (work: () => Promise<T>): Promise<T> {
  proxy.statements.length = 0
  proxy.latency(SLOW)
  try {
    return await work()
  } finally {
    proxy.latency(0)
  }
}

async function post (path: string, body: unknown, headers: Record<string, string> = {}, backend = 'redis'): Promise<{ status: number, text: string }> {
  const answer = await fetch(`${address}/api/cache${path}${path.includes('?') ? '&' : '?'}backend=${backend}`, {
    method: 'POST', headers: { 'content-type': 'application/json', ...headers }, ...body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }
  })
  return { status: answer.status, text: await answer.text() }
}

/** Nothing more is begun from soon on. */
async function stopsAt (count: () => number): Promise<number> {
  await new Promise((resolve) => { setTimeout(resolve, PROMPTLY) })
  const then = count()
  await new Promise((resolve) => { setTimeout(resolve, 3 * SLOW) })
  return count() - then
}

t.test('a batch that takes longer than its Request-Timeout is 504, and the rest of it is not begun', async (t) => {
  for (const [name, path, body] of [['set', '/set-batch', entriesOf('set')], ['warm', '/warm', Object.fromEntries(keys('warm').map((key) => [key, 1]))], ['deleted', '/delete-batch', keys('deleted')]] as const) {
    await slowly(async () => {
      const { status, text } = await post(path, body, { 'request-timeout': String(TIMEOUT) })
      t.match({ status, body: JSON.parse(text) as unknown }, { status: 504, body: { type: '/problems/timeout' } }, name)
      t.equal(await stopsAt(() => sent(name)), 0)
      t.ok(sent(name) > 0 && sent(name) < 1000, `${sent(name)} were begun`)
    })
  }
  t.ok(await stored('set') < 1000)
})

t.test('a caller who goes away has nothing begun for him any more', async (t) => {
  await slowly(async () => {
    const client = ask({ port, host: '127.0.0.1', path: '/api/cache/set-batch?backend=redis', method: 'POST', headers: { 'content-type': 'application/json' } })
    client.on('error', () => {})
    client.end(JSON.stringify(entriesOf('gone')))
    await eventually(() => sent('gone') > 0, 'it has begun')
    client.destroy()
    t.equal(await stopsAt(() => sent('gone')), 0)
    t.ok(sent('gone') < 1000, `${sent('gone')} were begun`)
  })
})

t.test('an import that takes longer than its Request-Timeout is taken back', async (t) => {
  await post('/set-batch', entriesOf('imported'), {}, 'memory')
  await cache.set('default', 'imported-7', { value: '"before"', dataType: 'string' })
  const file = await (await fetch(`${address}/api/cache/export?backend=memory&format=ndjson`)).text()
  await slowly(async () => {
    const { status } = await post('/import', file, { 'content-type': 'application/x-ndjson', 'request-timeout': String(TIMEOUT) })
    t.equal(status, 504)
  })
  await eventually(async () => await stored('imported') === 1, 'nothing of it is there')
  t.match(await cache.peek('default', 'imported-7'), { value: '"before"' })
})

t.test('an export ends with its Request-Timeout, in the middle where it has begun', async (t) => {
  for (let from = 0; from < 5; from++) await post('/set-batch', keys(`many-${from}`).map((key) => ({ key, value: 1 })))
  await slowly(async () => {
    const answer = await fetch(`${address}/api/cache/export?backend=redis&pattern=many-*`, { headers: { 'request-timeout': String(TIMEOUT) } })
    if (answer.status === 200) await t.rejects(answer.text(), 'it is cut off')
    else t.equal(answer.status, 504)
    t.equal(await stopsAt(() => proxy.statements.filter((statement) => /^(scan|mget|eval.*scan)/i.test(statement)).length), 0)
  })
})

t.test('what clear has put in force is so, and nothing is counted for who does not wait', async (t) => {
  await slowly(async () => {
    const { status } = await post('/clear?pattern=many-*', undefined, { 'request-timeout': String(TIMEOUT) })
    t.equal(status, 504)
    t.equal(await stopsAt(() => proxy.statements.filter((statement) => /^scan/i.test(statement)).length), 0)
  })
  t.equal(await stored('many'), 0)
})
