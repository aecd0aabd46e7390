// A million entries that go at once, and what others notice of it: how long until none of them is answered any more, how long the
// event loop stands still at most, and how long until they are counted. Prints JSON.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { larder } from './engine-caches.mjs'

const ENTRIES = 1_000_000
const entry = { value: '{"id":1}', dataType: 'json', tags: ['products'] }
const subjects = {
  'everything in a namespace': (cache) => cache.clear('app'),
  'a pattern that all keys match': (cache) => cache.clear('app', 'product:*'),
  'a tag that all carry': (cache) => cache.invalidate('app', { tags: ['products'] }),
  'a pattern that no key matches': (cache) => cache.clear('app', '*x*y*z*'),
  'a limit lowered to a tenth': async (cache) => {
    cache.configure({ maxItems: ENTRIES / 10 })
    await cache.settled()
  },
  'a page of 100 keys of a million': (cache) => cache.list('app', { limit: 100 }),
  'a page that matches a pattern': (cache) => cache.list('app', { limit: 100, pattern: 'product:99999*' })
}

const results = []
for (const [label, act] of Object.entries(subjects)) {
  const cache = larder(ENTRIES)
  for (let at = 0; at < ENTRIES; at++) {
    cache.set('app', `product:${at}`, entry)
    if (at % 1000 === 0) await nextTurn()
  }
  globalThis.gc()
  await nextTurn()
  const begun = performance.now()
  const acting = act(cache)
  // The first slice of the pass is in it.
  const inForce = performance.now() - begun
  let longest = 0
  let last = performance.now()
  let isOver = false
  const done = Promise.resolve(acting).then(() => { isOver = true })
  while (!isOver) {
    await nextTurn()
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
  }
  await done
  results.push({ label, inForce, longest: Math.max(longest, inForce), through: performance.now() - begun })
  await cache.close()
}
console.log(JSON.stringify({ entries: ENTRIES, results }))
