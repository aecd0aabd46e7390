// Nanoseconds of a getOrSet hit by what the value is, in one cache that holds all kinds of them; prints JSON.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { asyncCacheDedupe, larder } from './engine-caches.mjs'
import { median } from './statistics.mjs'
import { generator } from './traces/random.mjs'
import { zipf } from './zipf.mjs'

/** Of each kind. */
const KEYS = 500
const ROUNDS = 9
const OPERATIONS = 50_000
const TURN = 1000

const product = (i) => ({ id: i, name: 'Sample Product', price: 29.99, category: 'Electronics', stock_quantity: 100 })
const kinds = {
  'a number': (i) => i,
  'a text of 20 characters': (i) => `sample product ${String(i).padStart(5)}`,
  'an object of 5 members': product,
  'an object of 20 members': (i) => Object.fromEntries(Array.from({ length: 20 }, (_, at) => [`member${at}`, at % 3 === 0 ? `text ${i}` : i + at])),
  'an object in an object, with a list of 3': (i) => ({ ...product(i), tags: ['a', 'b', 'c'], maker: { id: i, name: 'Maker', city: 'Somewhere' } }),
  'a list of 20 numbers': (i) => Array.from({ length: 20 }, (_, at) => i + at),
  'a list of 20 objects of 5 members': (i) => Array.from({ length: 20 }, (_, at) => product(i + at))
}

const cache = larder(10 * KEYS)
const valueOf = (key) => {
  const [kind, i] = key.split(':')
  return Object.values(kinds)[Number(kind)](Number(i))
}
const dedupe = asyncCacheDedupe(10 * KEYS, valueOf)
const options = { ttl: 3600, tags: ['products'] }
const shared = { ...options, shared: true }
const absent = () => { throw new Error('This was to be a hit.') }

const rank = zipf(KEYS, 0.99, generator(1))
const traces = Object.keys(kinds).map((_, kind) => Array.from({ length: OPERATIONS }, () => `${kind}:${rank()}`))
for (const key of new Set(traces.flat())) {
  await cache.getOrSet(key, () => valueOf(key), options)
  await dedupe.product(key)
}

const subjects = {
  copy: async (trace, from, to) => {
    let last
    for (let i = from; i < to; i++) last = await cache.getOrSet(trace[i], absent, options)
    return last
  },
  shared: async (trace, from, to) => {
    let last
    for (let i = from; i < to; i++) last = await cache.getOrSet(trace[i], absent, shared)
    return last
  },
  dedupe: async (trace, from, to) => {
    let last
    for (let i = from; i < to; i++) last = await dedupe.product(trace[i])
    return last
  }
}

const times = Object.keys(kinds).map(() => Object.fromEntries(Object.keys(subjects).map((name) => [name, []])))
for (let round = -2; round < ROUNDS; round++) {
  for (const [kind, trace] of traces.entries()) {
    for (const [name, run] of Object.entries(subjects)) {
      let spent = 0
      for (let from = 0; from < OPERATIONS; from += TURN) {
        const begun = process.cpuUsage()
        await run(trace, from, from + TURN)
        const { user, system } = process.cpuUsage(begun)
        spent += user + system
        await nextTurn()
      }
      // The first ones are the compiler's.
      if (round >= 0) times[kind][name].push(spent * 1000 / OPERATIONS)
    }
  }
}
await cache.close()
const results = Object.keys(kinds).map((label, kind) => ({ label, ...Object.fromEntries(Object.entries(times[kind]).map(([name, each]) => [name, median(each)])) }))
console.log(JSON.stringify({ keys: KEYS, rounds: ROUNDS, results }))
