// Millions of hits a second; prints JSON. Takes another number of keys: 500 of them stay in the processor's own cache.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import { asyncCacheDedupe, bentoCache, larder, lruCache, lruCacheFetching } from './engine-caches.mjs'
import { generator } from './traces/random.mjs'
import { zipf } from './zipf.mjs'
import { inTurns } from './statistics.mjs'

const KEYS = Number(process.argv[2] ?? 10_000)
const ROUNDS = 15
const OPERATIONS = 200_000
/** Operations between two turns of the event loop: a busy server's. */
const TURN = 1000

const keys = Array.from({ length: KEYS }, (_, i) => `product:${i}`)
const valueOf = (i) => ({ id: i, name: 'Sample Product', price: 29.99, category: 'Electronics', stock_quantity: 100 })
const rank = zipf(keys.length, 0.99, generator(1)) // the same ones every time
const trace = Array.from({ length: OPERATIONS }, () => keys[rank()])

const cache = larder(KEYS)
const options = { ttl: 3600, tags: ['products'] }
const absent = () => { throw new Error('This was to be a hit.') }
const objects = lruCache(KEYS, () => 100)
const texts = lruCache(KEYS, (text) => text.length)
const plain = new LRUCache({ max: KEYS })
const fetched = lruCacheFetching(KEYS, absent)
const shared = { ...options, shared: true }
const dedupe = asyncCacheDedupe(KEYS, (key) => valueOf(Number(key.slice('product:'.length))))
// It keeps what it knows of tags among the entries.
const bento = { objects: bentoCache(KEYS + 10, { shared: true }), texts: bentoCache(KEYS + 10, { shared: false }) }
const tags = ['products']
for (const [i, key] of keys.entries()) {
  const value = valueOf(i)
  const text = JSON.stringify(value)
  await cache.getOrSet(key, () => value, options)
  objects.set(key, value)
  texts.set(key, text)
  plain.set(key, value)
  fetched.set(key, value)
  await dedupe.product(key)
  for (const peer of Object.values(bento)) await peer.getOrSet({ key, factory: () => value, tags })
}

// Each in a function of its own, which the compiler optimises for it alone. They add up something, so that nothing is left out.
const subjects = {
  'lru-cache get (max, ttl, size)': (from, to) => {
    let sum = 0
    for (let i = from; i < to; i++) sum += objects.get(trace[i]).stock_quantity
    return sum
  },
  'lru-cache get (max alone)': (from, to) => {
    let sum = 0
    for (let i = from; i < to; i++) sum += plain.get(trace[i]).stock_quantity
    return sum
  },
  'Larder cache.get: the entry with all its facts': (from, to) => {
    let sum = 0
    for (let i = from; i < to; i++) sum += cache.get('app', trace[i]).value.length
    return sum
  },
  'Larder cache.read: ready bytes, age, version': (from, to) => {
    let sum = 0
    for (let i = from; i < to; i++) sum += cache.read(trace[i], absent, options).encoded.length
    return sum
  },
  'lru-cache get + JSON.parse: a copy, awaited': async (from, to) => {
    let sum = 0
    for (let i = from; i < to; i++) sum += (await JSON.parse(texts.get(trace[i]))).stock_quantity
    return sum
  },
  'lru-cache fetch: shared object, awaited': async (from, to) => {
    let sum = 0
    for (let i = from; i < to; i++) sum += (await fetched.fetch(trace[i])).stock_quantity
    return sum
  },
  'Larder cache.getOrSet: a copy, awaited': async (from, to) => {
    let sum = 0
    for (let i = from; i < to; i++) sum += (await cache.getOrSet(trace[i], absent, options)).stock_quantity
    return sum
  },
  'Larder cache.getOrSet: shared frozen object, awaited': async (from, to) => {
    let sum = 0
    for (let i = from; i < to; i++) sum += (await cache.getOrSet(trace[i], absent, shared)).stock_quantity
    return sum
  },
  'async-cache-dedupe: shared object, awaited': async (from, to) => {
    let sum = 0
    for (let i = from; i < to; i++) sum += (await dedupe.product(trace[i])).stock_quantity
    return sum
  },
  'BentoCache getOrSet: shared object, awaited': async (from, to) => {
    let sum = 0
    for (let i = from; i < to; i++) sum += (await bento.objects.getOrSet({ key: trace[i], factory: absent, tags })).stock_quantity
    return sum
  },
  'BentoCache getOrSet: a copy, awaited': async (from, to) => {
    let sum = 0
    for (let i = from; i < to; i++) sum += (await bento.texts.getOrSet({ key: trace[i], factory: absent, tags })).stock_quantity
    return sum
  }
}

let kept = 0
async function measure (label) {
  const run = subjects[label]
  let elapsed = 0
  for (let from = 0; from < OPERATIONS; from += TURN) {
    // Of the processor: others may want it as well.
    const begun = process.cpuUsage()
    kept += await run(from, from + TURN)
    const { user, system } = process.cpuUsage(begun)
    elapsed += (user + system) / 1000
    await nextTurn()
  }
  return OPERATIONS / elapsed * 1000
}

const labels = Object.keys(subjects)
const speeds = Object.fromEntries(labels.map((label) => [label, []]))
await inTurns(labels, 2, measure) // the compiler's
globalThis.gc()
await inTurns(labels, ROUNDS, async (label) => { speeds[label].push(await measure(label)) })
await cache.close()
if (!(kept > 0)) throw new Error('Nothing was read.')
console.log(JSON.stringify({ keys: KEYS, rounds: ROUNDS, speeds }))
