import { setImmediate as immediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import cacheAside from '../../plugins/cache-aside.js'
import { serving } from './serving-responses.js'

type Outcome = 'hit' | 'stale hit' | 'miss' | 'stale' | 'request' | 'bypass' | 'past' | 504 | 500

/**
 * What becomes of a request that says this: nothing is cached · what is has been fresh for 30 s and is for 30 more · it is stale for 30 s, and may stand in
 * for 30 more · the same, and the origin fails · fresh as before, and the address says `nocache=true`.
 */
const TABLE: [headers: Record<string, string>, ...Outcome[]][] = [
  [{}, 'miss', 'hit', 'stale', 'stale hit', 'bypass'],
  [{ 'cache-control': 'no-cache' }, 'bypass', 'bypass', 'bypass', 500, 'bypass'],
  [{ 'cache-control': 'max-stale, No-Cache' }, 'bypass', 'bypass', 'bypass', 500, 'bypass'],
  [{ pragma: 'no-cache' }, 'bypass', 'bypass', 'bypass', 500, 'bypass'],
  [{ pragma: 'no-cache', 'cache-control': 'max-age=100' }, 'miss', 'hit', 'stale', 500, 'bypass'],
  [{ 'cache-control': 'no-store' }, 'past', 'past', 'past', 500, 'past'],
  [{ 'cache-control': 'no-store, max-stale' }, 'past', 'past', 'past', 500, 'past'],
  [{ 'cache-control': 'max-age=0' }, 'miss', 'request', 'stale', 500, 'bypass'],
  [{ 'cache-control': 'max-age=29' }, 'miss', 'request', 'stale', 500, 'bypass'],
  [{ 'cache-control': 'max-age=30' }, 'miss', 'hit', 'stale', 500, 'bypass'],
  [{ 'cache-control': 'max-age=soon' }, 'miss', 'request', 'stale', 500, 'bypass'],
  [{ 'cache-control': 'min-fresh=30' }, 'miss', 'hit', 'stale', 500, 'bypass'],
  [{ 'cache-control': 'min-fresh=31' }, 'miss', 'request', 'stale', 500, 'bypass'],
  [{ 'cache-control': 'max-stale' }, 'miss', 'hit', 'stale hit', 'stale hit', 'bypass'],
  [{ 'cache-control': 'max-stale=30' }, 'miss', 'hit', 'stale hit', 'stale hit', 'bypass'],
  [{ 'cache-control': 'max-stale=29' }, 'miss', 'hit', 'stale', 'stale hit', 'bypass'],
  [{ 'cache-control': 'max-stale=30, max-age=90' }, 'miss', 'hit', 'stale hit', 'stale hit', 'bypass'],
  [{ 'cache-control': 'max-stale=30, max-age=89' }, 'miss', 'hit', 'stale', 500, 'bypass'],
  [{ 'cache-control': 'max-stale=30, min-fresh=1' }, 'miss', 'hit', 'stale', 500, 'bypass'],
  [{ 'cache-control': 'only-if-cached' }, 504, 'hit', 504, 504, 504],
  [{ 'cache-control': 'only-if-cached, max-age=29' }, 504, 504, 504, 504, 504],
  [{ 'cache-control': 'only-if-cached, min-fresh=31' }, 504, 504, 504, 504, 504],
  [{ 'cache-control': 'only-if-cached, max-stale=30' }, 504, 'hit', 'stale hit', 'stale hit', 504],
  [{ 'cache-control': 'only-if-cached, max-stale=29' }, 504, 'hit', 504, 504, 504],
  [{ 'cache-control': 'only-if-cached, no-cache' }, 504, 504, 504, 504, 504],
  [{ 'cache-control': 'only-if-cached, no-store' }, 504, 504, 504, 504, 504],
  [{ 'cache-control': 'no-transform, unknown="no-store, x"' }, 'miss', 'hit', 'stale', 'stale hit', 'bypass']
]
const STATES = ['miss', 'fresh', 'stale', 'stale, and the origin fails', 'fresh, past the cache'] as const

t.test('what a request says holds for both kinds of cached routes', async (t) => {
  let isFailing = false
  const load = () => {
    if (isFailing) throw new Error('The origin is down')
    return { data: 'always the same' }
  }
  const querystring = { type: 'object', properties: { nocache: { type: 'boolean' } } }
  const { app, get, pass } = await serving(t, undefined, {}, [cacheAside])
  app.get('/response', { config: { cache: { ttl: 60, staleIfError: 60 } }, schema: { querystring } }, load)
  app.get('/aside', { schema: { querystring } }, (_request, reply) => reply.cacheAside({ key: 'aside', ttl: 60, load: async () => load() }))

  for (const url of ['/response', '/aside']) {
    t.test(url, async (t) => {
      for (const [headers, ...outcomes] of TABLE) for (const [at, outcome] of outcomes.entries()) await holds(t, url, headers, at, outcome)
    })
  }

  async function arrange (url: string, at: number): Promise<string> {
    isFailing = false
    await app.cache.clear(app.cache.namespace)
    pass(10)
    const etag = at === 0 ? '' : String((await get({}, url)).headers.etag)
    pass([0, 30, 90, 90, 30][at] as number)
    isFailing = at === 3
    return etag
  }

  async function holds (t: Test, url: string, headers: Record<string, string>, at: number, outcome: Outcome): Promise<void> {
    const name = `${JSON.stringify(headers)}: ${STATES[at]}`
    const address = at === 4 ? `${url}?nocache=true` : url
    const before = await arrange(url, at)
    const answer = await get(headers, address)
    await immediate()
    t.equal(answer.statusCode === 200 ? told(String(answer.headers['cache-status'])) : answer.statusCode, outcome, name)
    if (answer.statusCode !== 200) return
    const { etag } = answer.headers
    t.match(etag, /^"[0-9a-f]{32}"$/, name)
    if (before !== '') t.equal(etag, before, `${name}: the same data has the same ETag, loaded again or not`)
    t.equal(answer.headers.age, { hit: '30', 'stale hit': '90', past: undefined }[outcome as string] ?? (outcome === 'past' ? undefined : '0'), name)

    await arrange(url, at)
    const head = await get(headers, address, 'HEAD')
    await immediate()
    t.equal(head.body, '', name)
    t.strictSame(telling(head.headers), telling(answer.headers), `${name}: HEAD`)

    await arrange(url, at)
    const unchanged = await get({ ...headers, 'if-none-match': String(etag) }, address)
    await immediate()
    t.strictSame([unchanged.statusCode, unchanged.body], [304, ''], `${name}: If-None-Match`)
    const { 'content-type': _type, 'content-length': _length, ...rest } = telling(answer.headers)
    t.strictSame(telling(unchanged.headers), { ...rest, 'content-type': undefined, 'content-length': undefined }, `${name}: 304`)
  }
})

const telling = (headers: Record<string, unknown>) => Object.fromEntries(
  ['etag', 'age', 'cache-control', 'cache-status', 'vary', 'link', 'content-type', 'content-length'].map((name) => [name, headers[name]]))

function told (status: string): Outcome {
  if (/; hit/.test(status)) return status.includes('ttl=-') ? 'stale hit' : 'hit'
  const why = /; fwd=([a-z-]+)/.exec(status)?.[1] as Outcome
  return why === 'bypass' && !status.includes('; stored') ? 'past' : why
}
