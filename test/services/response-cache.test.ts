import fc from 'fast-check'
import t from 'tap'
import { parseDirectives, secondsOf } from '../../services/http-cache/directives.js'
import { isUsable, staleUseOf } from '../../services/http-cache/reuse.js'
import { graceFor, judge, type Storing } from '../../services/response-cache/storing.js'
import { decodeResponse, encodeResponse, NOT_SHARED } from '../../services/response-cache/stored-response.js'
import { wishOf } from '../../services/http-cache/wish.js'

const STORING: Storing = { ttl: 60, staleWhileRevalidate: 0, staleIfError: 0, isPrivate: false, isCredentialed: false, delay: 0, now: 0 }

t.test('directives are read as RFC 9111 writes them', async (t) => {
  const cells: [header: string, expected: [string, string | null][]][] = [
    ['', []],
    ['no-cache', [['no-cache', null]]],
    ['Max-Age=5,NO-STORE', [['max-age', '5'], ['no-store', null]]],
    ['max-age = 5 ,\t private="a, b"', [['max-age', '5'], ['private', 'a, b']]],
    ['a="x\\"y", b', [['a', 'x"y'], ['b', null]]],
    ['max-age=1, max-age=2', [['max-age', '1']]],
    [',,a,,', [['a', null]]],
    ['@, a', [['a', null]]],
    ['a="unterminated, b', [['b', null]]]
  ]
  for (const [header, expected] of cells) t.strictSame([...parseDirectives(header)], expected, header)
  t.equal(secondsOf(parseDirectives('max-age=99999999999999'), 'max-age'), 2 ** 31)
  for (const bad of ['max-age', 'max-age=', 'max-age=-1', 'max-age=1.5', 'max-age=x']) t.equal(secondsOf(parseDirectives(bad), 'max-age'), 0, bad)
  const hostile = 'a="'.repeat(20_000)
  parseDirectives(hostile)
  fc.assert(fc.property(fc.string(), (header) => { parseDirectives(header) }))
})

t.test('a response comes out as it went in', async () => {
  const body = fc.oneof(
    fc.json().map((json) => ({ json })), fc.string({ unit: 'binary' }).map((text) => ({ text })), fc.uint8Array().map((bytes) => ({ bytes: Buffer.from(bytes) })))
  const headers = fc.dictionary(fc.string({ minLength: 1 }), fc.string({ unit: 'binary' })).map((all) => ({ ...all }))
  fc.assert(fc.property(body, headers, (body, headers) => {
    const form = 'json' in body ? 'json' : 'text' in body ? 'text' : 'bytes'
    const stored = decodeResponse(encodeResponse({ status: 200, headers, form }, body))
    const expected = 'json' in body ? body.json : 'text' in body ? body.text : body.bytes
    return stored !== undefined && Buffer.from(stored.body).equals(Buffer.from(expected)) && JSON.stringify(stored.head.headers) === JSON.stringify(headers)
  }))
  t.equal(decodeResponse(NOT_SHARED), undefined)
})

/** What a cache does with a request for a response that it was given once, straight from the sections of the RFCs. */
type Served = 'fresh' | 'stale at once' | 'stale if it fails' | 'made anew'
interface Facts {
  public: boolean,
  noStore: boolean,
  private: boolean,
  noCache: boolean,
  mustRevalidate: boolean,
  proxyRevalidate: boolean
  maxAge: number | undefined,
  sMaxAge: number | undefined,
  whileRevalidate: number | undefined,
  ifError: number | undefined
  cookie: boolean,
  credential: boolean,
  isPrivateCache: boolean,
  status: number
}
interface Asked { noStore: boolean, noCache: boolean, maxAge: number | undefined, minFresh: number | undefined, maxStale: number | 'any' | undefined, age: number }

function model (response: Facts, request: Asked): Served {
  const { isPrivateCache } = response
  // RFC 9111, 3: what may be stored at all.
  const isForAll = response.public || response.mustRevalidate || (!isPrivateCache && response.sMaxAge !== undefined)
  const mayStore = response.status === 200 && !response.cookie && !response.noStore && !response.noCache && (isPrivateCache || !response.private) &&
    (!response.credential || isPrivateCache || isForAll)
  if (!mayStore || request.noStore || request.noCache) return 'made anew'
  // 4.2.1: the lifetime.
  const lifetime = (isPrivateCache ? undefined : response.sMaxAge) ?? response.maxAge ?? STORING.ttl
  const staleness = request.age - lifetime
  const tooOld = request.maxAge !== undefined && (request.maxAge === 0 || request.age > request.maxAge)
  if (staleness < 0) {
    return tooOld || (request.minFresh !== undefined && -staleness < request.minFresh) ? 'made anew' : 'fresh'
  }
  // 4.2.4: stale ones are served only where nothing forbids it, and something allows it.
  const forbidden = response.mustRevalidate || (!isPrivateCache && (response.proxyRevalidate || response.sMaxAge !== undefined))
  if (forbidden || tooOld || request.minFresh !== undefined) return 'made anew'
  // It is there for as long as the response allows any use of it.
  const kept = Math.max(response.whileRevalidate ?? 0, response.ifError ?? 0)
  if (kept === 0 || staleness > kept) return 'made anew'
  if (request.maxStale === 'any' || (request.maxStale !== undefined && staleness <= request.maxStale)) return 'stale at once'
  if (request.maxAge !== undefined) return 'made anew'
  const { whileRevalidate = 0, ifError = 0 } = response
  if (whileRevalidate > 0 && staleness <= whileRevalidate) return 'stale at once'
  return ifError > 0 && staleness <= ifError ? 'stale if it fails' : 'made anew'
}

function served (response: Facts, request: Asked): Served {
  const verdict = judge(response.status, { 'cache-control': controlOf(response), ...response.cookie && { 'set-cookie': 'a=b' } }, {
    ...STORING, isPrivate: response.isPrivateCache, isCredentialed: response.credential
  })
  const wish = wishOf(wordsOf(request), undefined)
  if (typeof verdict === 'string' || wish.noStore || wish.noCache) return 'made anew'
  const left = verdict.ttl - request.age
  if (left > 0) return isUsable(request.age, left, wish) ? 'fresh' : 'made anew'
  if (-left > graceFor(verdict) - 1) return 'made anew'
  const use = staleUseOf(request.age, -left, verdict, wish)
  return use === 'at-once' ? 'stale at once' : use === 'on-error' ? 'stale if it fails' : 'made anew'
}

const word = (name: string, value: boolean | number | string | undefined): string[] =>
  value === undefined || value === false ? [] : [value === true || value === 'any' ? name : `${name}=${value}`]

function controlOf (facts: Facts): string {
  return [
    ...word('public', facts.public), ...word('no-store', facts.noStore), ...word('private', facts.private), ...word('no-cache', facts.noCache),
    ...word('must-revalidate', facts.mustRevalidate), ...word('proxy-revalidate', facts.proxyRevalidate), ...word('max-age', facts.maxAge),
    ...word('s-maxage', facts.sMaxAge), ...word('stale-while-revalidate', facts.whileRevalidate), ...word('stale-if-error', facts.ifError)
  ].join(', ')
}

function wordsOf (asked: Asked): string {
  return [
    ...word('no-store', asked.noStore), ...word('no-cache', asked.noCache), ...word('max-age', asked.maxAge), ...word('min-fresh', asked.minFresh), ...word('max-stale', asked.maxStale)
  ].join(', ')
}

t.test('what is served when agrees with a model of the RFCs', async (t) => {
  const rarely = fc.integer({ min: 0, max: 24 }).map((n) => n === 0)
  const seconds = fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined })
  const facts = fc.record<Facts>({
    public: rarely,
    noStore: rarely,
    private: rarely,
    noCache: rarely,
    mustRevalidate: rarely,
    proxyRevalidate: rarely,
    maxAge: seconds,
    sMaxAge: fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined, freq: 1 }),
    whileRevalidate: seconds,
    ifError: seconds,
    cookie: rarely,
    credential: rarely,
    isPrivateCache: fc.boolean(),
    status: fc.constantFrom(200, 200, 200, 200, 206, 301, 404)
  })
  const asked = fc.record<Asked>({
    noStore: rarely,
    noCache: rarely,
    maxAge: fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined, freq: 1 }),
    minFresh: fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined, freq: 1 }),
    maxStale: fc.option(fc.oneof(fc.integer({ min: 0, max: 12 }), fc.constant('any' as const)), { nil: undefined }),
    age: fc.integer({ min: 0, max: 25 })
  })
  const seen = new Map<Served, number>()
  fc.assert(fc.property(facts, asked, (response, request) => {
    const expected = model(response, request)
    seen.set(expected, (seen.get(expected) ?? 0) + 1)
    return served(response, request) === expected
  }), { numRuns: 5000 })
  t.equal(seen.size, 4, JSON.stringify([...seen]))
})
