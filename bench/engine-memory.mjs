// Bytes that an entry takes beside its key and value, which are made beforehand; prints JSON.
import { larder, lruCache } from './engine-caches.mjs'

const ENTRIES = 1_000_000
const [, , subject, tagCount] = process.argv
const tags = ['products', 'electronics'].slice(0, Number(tagCount))
const keys = Array.from({ length: ENTRIES }, (_, i) => `product:${i}`)
const value = '{"id":1}'

const fillers = {
  'lru-cache' () {
    const cache = lruCache(ENTRIES, () => 100)
    // With tags, an object that holds them: lru-cache knows none.
    for (const key of keys) cache.set(key, tags.length === 0 ? value : { value, tags })
    return cache
  },
  larder () {
    const cache = larder(ENTRIES)
    const entry = { value, dataType: 'json', tags }
    for (const key of keys) cache.set('app', key, entry)
    return cache
  }
}

const before = used()
const cache = fillers[subject]()
const bytes = (used() - before) / ENTRIES
await cache.close?.()
const label = `${subject === 'larder' ? 'Larder' : 'lru-cache (max, ttl, size)'}${tags.length === 0 ? '' : `, ${tags.length} tags`}`
console.log(JSON.stringify({ label, entries: ENTRIES, bytes }))

function used () {
  globalThis.gc()
  globalThis.gc()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external // arrayBuffers are part of external
}
