// set, get and getMany on every backend that the environment has; prints JSON.
import { buildApp } from '../dist/app.js'
import { loadConfig } from '../dist/config.js'
import { encode } from '../dist/services/cache/encoding.js'

const ENTRIES = 2000
const ROUNDS = 3
const AT_ONCE = 32
const BATCH = 100

const environment = JSON.parse(process.argv[2])
const keys = Array.from({ length: ENTRIES }, (_, i) => `product:${i}`)
const value = encode({ id: 1, name: 'Sample Product', description: 'x'.repeat(100), price: 29.99, category: 'Electronics', stock_quantity: 100 })
const entry = { value, dataType: 'json', ttl: 3600, tags: ['products'] }

const speeds = {}
const note = (backend, name, speed) => { ((speeds[backend] ??= {})[name] ??= []).push(speed) }

for (let round = 0; round < ROUNDS; round++) {
  await withApp(async (caches) => {
    for (const cache of caches) {
      note(cache.backend, 'set', await rate(ENTRIES, keys, (key) => cache.set('bench', key, entry)))
      note(cache.backend, 'memory', await rate(ENTRIES, keys, (key) => cache.get('bench', key)))
      if (cache.backend === 'memory') note('memory', 'getMany', await rate(ENTRIES, batches(), (batch) => cache.getMany('bench', batch), 4))
    }
  })
  // Opened anew, the memory tiers are empty: every first read comes from the backend itself.
  await withApp(async (caches) => {
    for (const cache of caches.filter(({ backend }) => backend !== 'memory')) {
      const half = keys.slice(0, ENTRIES / 2)
      note(cache.backend, 'get', await rate(half.length, half, (key) => cache.get('bench', key)))
      note(cache.backend, 'getMany', await rate(ENTRIES / 2, batches(ENTRIES / 2), (batch) => cache.getMany('bench', batch), 4))
    }
  })
}
console.log(JSON.stringify({ entries: ENTRIES, rounds: ROUNDS, atOnce: AT_ONCE, batch: BATCH, bytes: value.length, speeds }))

async function withApp (measure) {
  const app = await buildApp(loadConfig(environment))
  await app.ready()
  await measure(app.caches.all())
  await app.close()
}

function batches (from = 0) {
  return Array.from({ length: (ENTRIES - from) / BATCH }, (_, i) => keys.slice(from + i * BATCH, from + (i + 1) * BATCH))
}

/** Operations a second; as many at once as AT_ONCE. What is answered without a promise is not waited for. */
async function rate (operations, inputs, act, atOnce = AT_ONCE) {
  let next = 0
  const begun = performance.now()
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (next < inputs.length) {
      const done = act(inputs[next++])
      if (done instanceof Promise) await done
    }
  }))
  return operations / (performance.now() - begun) * 1000
}
