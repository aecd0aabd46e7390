// The processor time of ten thousand callers who miss one key at once; prints JSON.
import { asyncCacheDedupe, bentoCache, larder, lruCacheFetching } from './engine-caches.mjs'
import { inTurns } from './statistics.mjs'

const CALLERS = 10_000
const ROUNDS = 9

let loads = 0
let next = 0
const load = async () => {
  loads++
  await new Promise((resolve) => { setTimeout(resolve, 5) })
  return { id: 1, name: 'Sample Product', price: 29.99 }
}

const cache = larder(1000)
const dedupe = asyncCacheDedupe(1000, load)
const bento = bentoCache(1000, { shared: true })
const fetching = lruCacheFetching(1000, load)
const options = { ttl: 3600, tags: ['products'] }
const shared = { ...options, shared: true }

const subjects = {
  'Larder getOrSet: copies': (key) => cache.getOrSet(key, load, options),
  'Larder getOrSet: shared': (key) => cache.getOrSet(key, load, shared),
  'lru-cache fetch': (key) => fetching.fetch(key),
  'async-cache-dedupe': (key) => dedupe.product(key),
  'BentoCache getOrSet': (key) => bento.getOrSet({ key, factory: load, tags: ['products'] })
}

const labels = Object.keys(subjects)
const times = Object.fromEntries(labels.map((label) => [label, []]))
const loadCounts = Object.fromEntries(labels.map((label) => [label, 0]))
await inTurns(labels, ROUNDS, async (label) => {
  const key = `product:${next++}`
  const before = process.cpuUsage()
  loads = 0
  await Promise.all(Array.from({ length: CALLERS }, () => subjects[label](key)))
  const { user, system } = process.cpuUsage(before)
  loadCounts[label] = Math.max(loadCounts[label], loads)
  times[label].push((user + system) / 1000)
})
await cache.close()
console.log(JSON.stringify({ callers: CALLERS, rounds: ROUNDS, times, loads: loadCounts }))
