// A million entries that go at once, and what others notice of it: how long until none of them is answered any more, how long the
// event loop stands still at most (also in processor time, which other processes do not lengthen), and how long until they are
// counted. Prints JSON.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { larder } from './engine-caches.mjs'

const ENTRIES = 1_000_000
const entry = { value: '{"id":1}', dataType: 'json', tags: ['products'] }
const NOBODY = { pattern: '*x*y*z*' }
const invalidations = {
  'everything in a namespace': { all: true },
  'a pattern that all keys match': { pattern: 'product:*' },
  'a tag that all carry': { tags: ['products'] },
  'a pattern that no key matches': NOBODY
}
const subjects = {
  ...Object.fromEntries(Object.entries(invalidations).map(([label, what]) => [label, (cache) => cache.invalidate('app', what)])),
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
  // The same invalidation without a count is in force at once.
  const { [label]: what } = invalidations
  const before = performance.now()
  if (what !== undefined) await cache.outdate(what)
  const inForce = what === undefined ? undefined : performance.now() - before
  if (what !== undefined && what !== NOBODY && cache.peek('app', 'product:7') !== undefined) throw new Error('It is not in force.')
  const begun = performance.now()
  let [longest, longestCpu] = [0, 0]
  let [last, cpu] = [performance.now(), process.cpuUsage()]
  const ending = new AbortController()
  const done = act(cache).then(() => { ending.abort() })
  while (!ending.signal.aborted) {
    longest = Math.max(longest, performance.now() - last)
    longestCpu = Math.max(longestCpu, process.cpuUsage(cpu).user / 1000)
    await nextTurn()
    last = performance.now()
    cpu = process.cpuUsage()
    await nextTurn()
  }
  await done
  results.push({ label, inForce, longest, longestCpu, through: performance.now() - begun })
  await cache.close()
}
console.log(JSON.stringify({ entries: ENTRIES, results }))
