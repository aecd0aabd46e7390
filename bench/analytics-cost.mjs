// What the sketches behind /api/cache/analytics cost, each in a process of its own; prints JSON. Arguments: what to measure.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { drawSample } from '../dist/services/cache/analytics/sampling.js'
import { compose } from '../dist/services/cache/analytics/composition.js'
import { Activity } from '../dist/services/cache/analytics/activity.js'
import { HotKeys } from '../dist/services/cache/analytics/hot-keys.js'
import { Latencies } from '../dist/services/cache/analytics/latencies.js'
import { Sketches } from '../dist/services/cache/analytics/sketches.js'
import { WhatIf } from '../dist/services/cache/analytics/what-if.js'
import { Cache } from '../dist/services/cache/cache.js'
import { monotonicNow } from '../dist/services/cache/clock.js'
import { LocalStore } from '../dist/services/cache/stores/local-store.js'
import { TimedCache } from '../dist/services/cache/timed-cache.js'
import { median } from './statistics.mjs'
import { generator } from './traces/random.mjs'
import { zipf } from './zipf.mjs'

const KEYS = 10_000
const ROUNDS = 15
/** Rounds before anything counts: the compiler's. */
const WARM_UP = 3
const OPERATIONS = 200_000
/** Operations between two turns of the event loop: a busy server's. */
const TURN = 1000

const now = monotonicNow()
const limits = { maxItems: KEYS, maxMemory: 100 * 2 ** 20, defaultTtl: 3600, cleanupInterval: 300, strategy: 'lru' }
const keys = Array.from({ length: KEYS }, (_, i) => `product:${i}`)
const rank = zipf(KEYS, 0.99, generator(1))
const trace = Array.from({ length: OPERATIONS }, () => keys[rank()])
const whatIf = () => new WhatIf(now, () => limits, () => ({ items: KEYS, bytes: KEYS * 400 }))

function cache (Kind = Cache, options = {}) {
  const store = new LocalStore({ now, limits })
  const made = new Kind({ store, now, limits, ...options }, options.times)
  for (const key of keys) made.set('default', key, { value: '{"name":"Sample Product","price":29.99}', dataType: 'json' })
  return made
}
const observer = (...which) => Object.assign(new Sketches(now), which.includes('whatIf') ? { whatIf: whatIf() } : {})
const latencies = new Latencies(now)
const timesBy = (of) => Object.fromEntries(['get', 'get_many', 'set', 'delete', 'touch', 'increment', 'list', 'invalidate'].map((name) => [name, of(name)]))
const ignored = { hit () {}, miss () {}, ok () {}, error () {} }

const gets = (made) => (from, to) => {
  let sum = 0
  for (let i = from; i < to; i++) sum += made.get('default', trace[i]).value.length
  return sum
}
/** By name: what makes a function that does the operations of the trace from one position to another. */
const subjects = {
  plain: () => gets(cache()),
  hotKeys: () => gets(cache(Cache, { observer: observer() })),
  both: () => gets(cache(Cache, { observer: observer('whatIf') })),
  timed: () => gets(cache(TimedCache, { times: timesBy(() => ignored) })),
  latencies: () => gets(cache(TimedCache, { times: timesBy((name) => latencies.of(name)) })),
  hotKeysAlone: () => {
    const hot = new HotKeys(now)
    return (from, to) => {
      for (let i = from; i < to; i++) hot.note('default', trace[i])
    }
  },
  whatIfAlone: () => {
    const trial = whatIf()
    const entry = cache().peek('default', keys[0])
    const entries = trace.map((key) => ({ ...entry, key }))
    return (from, to) => {
      for (let i = from; i < to; i++) trial.hit(entries[i])
    }
  },
  histogramAlone: () => {
    const histogram = latencies.of('alone')
    return (from, to) => {
      for (let i = from; i < to; i++) histogram.hit(i * 1e-6)
    }
  }
}

/** Nanoseconds of processor time for each operation. */
async function costOf (run) {
  const rounds = []
  for (let round = 0; round < WARM_UP + ROUNDS; round++) {
    let spent = 0
    for (let from = 0; from < OPERATIONS; from += TURN) {
      const before = process.cpuUsage()
      run(from, from + TURN)
      const { user, system } = process.cpuUsage(before)
      spent += user + system
      await nextTurn()
    }
    if (round >= WARM_UP) rounds.push(spent * 1000 / OPERATIONS)
  }
  return median(rounds)
}

async function held () {
  for (let round = 0; round < 3; round++) {
    globalThis.gc()
    await nextTurn()
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** What it holds after so many distinct keys of 40 characters, each written once. */
async function bytesOf (make, use) {
  const before = await held()
  const made = make()
  for (let i = 0; i < 500_000; i++) use(made, `${'k'.repeat(30)}:${i}`, i)
  const bytes = await held() - before
  return { made, bytes }
}
async function sizes () {
  const entry = { ...cache().peek('default', keys[0]), tags: ['a', 'b'] }
  const bytes = {}
  for (const [label, make, use] of [
    ['hot keys', () => new HotKeys(now), (made, key) => made.note('default', key)],
    ['other sizes', whatIf, (made, key) => made.written({ ...entry, key })],
    ['latencies of eight operations', () => new Latencies(now), (made, _key, i) => { if (i < 8) made.of(`operation ${i}`).ok(1) }],
    ['activity, 128 namespaces', () => {
      const names = Array.from({ length: 128 }, (_, i) => `n${i}`)
      return new Activity({ counters: () => ({ hits: 1, misses: 1, sets: 1, deletes: 0, evictions: 0 }), namespaces: () => names }, now)
    }, (made, _key, i) => { if (i % 1000 === 0) made.turn() }]
  ]) bytes[label] = (await bytesOf(make, use)).bytes
  return bytes
}

/** A sample of a million entries: how long it takes, and the longest that others had to wait meanwhile. */
async function sampling () {
  const store = new LocalStore({ now, limits: { ...limits, maxItems: 2e6, maxMemory: 2 ** 40 } })
  const large = new Cache({ store, now, limits: { ...limits, maxItems: 2e6, maxMemory: 2 ** 40 } })
  for (let i = 0; i < 1e6; i++) large.set('default', `p${i % 300}:${i}`, { value: '1', dataType: 'number' })
  await drawSample(store, undefined, 4096, now())
  let [longest, last, isDone] = [0, performance.now(), false]
  const watch = () => {
    longest = Math.max(longest, performance.now() - last)
    last = performance.now()
    if (!isDone) setImmediate(watch)
  }
  setImmediate(watch)
  const begun = performance.now()
  const sample = await drawSample(store, undefined, 4096, now())
  const took = performance.now() - begun
  isDone = true
  const composed = Array.from({ length: 9 }, () => {
    const composing = performance.now()
    compose(sample, 100)
    return performance.now() - composing
  })
  await large.close()
  return { took, longest, composed: median(composed) }
}

const [what] = process.argv.slice(2)
const measures = { sizes, sampling }
console.log(JSON.stringify(what in subjects ? await costOf(subjects[what]()) : await measures[what]()))
process.exit()
