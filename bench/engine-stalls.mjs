// What is done to a million entries at once, and what others notice of it: how long until an invalidation is in force, how long the event
// loop stands still at most (also without the time in which others had the processor), and how long until it is through. Prints JSON.
import { openSync, readSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Analytics } from '../dist/services/cache/analytics/analytics.js'
import { Sketches } from '../dist/services/cache/analytics/sketches.js'
import { Cache } from '../dist/services/cache/cache.js'
import { monotonicNow } from '../dist/services/cache/clock.js'
import { LocalStore } from '../dist/services/cache/stores/local-store.js'
import { exportCache } from '../dist/services/transfer/export.js'

/** What the first thread has waited for a processor that others had, in milliseconds; 0 where the system does not tell. */
const schedule = process.platform === 'linux' ? openSync(`/proc/self/task/${process.pid}/schedstat`) : undefined
const text = Buffer.alloc(64)
const waited = () => schedule === undefined ? 0 : Number(text.latin1Slice(0, readSync(schedule, text, 0, text.length, 0)).split(' ')[1]) / 1e6

const ENTRIES = 1_000_000
const PREFIXES = 300
const entry = { value: '{"id":1}', dataType: 'json', tags: ['products'] }
const NOBODY = { pattern: '*x*y*z*' }
const invalidations = {
  'everything in a namespace': { all: true },
  'a pattern that all keys match': { pattern: 'p*' },
  'a tag that all carry': { tags: ['products'] },
  'a pattern that no key matches': NOBODY
}
const subjects = {
  ...Object.fromEntries(Object.entries(invalidations).map(([label, what]) => [`${label}, counted`, ({ cache }) => cache.invalidate('app', what)])),
  'a limit lowered to a tenth': async ({ cache }) => {
    cache.configure({ maxItems: ENTRIES / 10 })
    await cache.settled()
  },
  'a sweep': ({ store }) => store.clean(),
  'a page of 100 keys of a million': ({ cache }) => cache.list('app', { limit: 100 }),
  'a page that matches a pattern': ({ cache }) => cache.list('app', { limit: 100, pattern: 'p7:99999*' }),
  'analytics, with a sample drawn': ({ analytics }) => analytics.report(100),
  'an export, as NDJSON': async ({ cache }) => {
    let length = 0
    for await (const chunk of exportCache(cache, { format: 'ndjson', namespace: 'app', namespaces: ['app'] }).chunks) length += chunk.length
    return length
  }
}

const results = []
for (const [label, act] of Object.entries(subjects)) {
  const service = await filled()
  const { cache, analytics } = service
  globalThis.gc()
  await nextTurn()
  // The same invalidation without a count is in force at once.
  const what = invalidations[label.replace(/, counted$/, '')]
  const before = performance.now()
  if (what !== undefined) await cache.outdate(what)
  const inForce = what === undefined ? undefined : performance.now() - before
  if (what !== undefined && what !== NOBODY && cache.peek('app', 'p7:7') !== undefined) throw new Error('It is not in force.')
  results.push({ label, inForce, ...await watched(() => act(service)) })
  analytics.close()
  await cache.close()
}
console.log(JSON.stringify({ entries: ENTRIES, results }))

/** A cache as the service has it, on memory, with a million entries and reads of some of them. */
async function filled () {
  const now = monotonicNow()
  const limits = { maxItems: ENTRIES, maxMemory: 2 ** 40, defaultTtl: 3600, cleanupInterval: 300, strategy: 'lru' }
  const store = new LocalStore({ now, limits })
  const sketches = new Sketches(now)
  const cache = new Cache({ store, now, limits, namespace: 'app', observer: sketches })
  const analytics = new Analytics({ cache, store, sketches })
  for (let at = 0; at < ENTRIES; at++) {
    cache.set('app', `p${at % PREFIXES}:${at}`, entry)
    if (at % 10 === 0) cache.get('app', `p${at % PREFIXES}:${at}`)
    if (at % 1000 === 0) await nextTurn()
  }
  return { store, cache, analytics }
}

/** Runs something, and measures each turn of the event loop meanwhile. Milliseconds. */
async function watched (act) {
  let [longest, longestAlone, isOver] = [0, 0, false]
  let [last, delay] = [performance.now(), waited()]
  const begun = last
  const look = () => {
    const stall = performance.now() - last
    longest = Math.max(longest, stall)
    longestAlone = Math.max(longestAlone, stall - (waited() - delay))
    delay = waited()
    last = performance.now()
    if (!isOver) setImmediate(look)
  }
  setImmediate(look)
  await act()
  const through = performance.now() - begun
  isOver = true
  await nextTurn()
  return { longest, longestAlone, through }
}
