import { startServer } from './processes.mjs'
import { inTurns, median, printTable } from './statistics.mjs'

const KEYS = Array.from({ length: 1000 }, (_, i) => `/${1000 + i}`)
const PRODUCT = { id: 1, name: 'Cold brew coffee', description: 'Sixteen hours in the cold, then filtered', unit: 'bottle', price: 4.5, category: 'drinks', stock_quantity: 42 }
/** Seconds of load before anything counts: every key is cached by then. */
const WARM_UP = 2
const WAYS = {
  'bare Fastify, object through a schema': 'object',
  '`reply.cacheAside`, a hit': 'cacheAside',
  '`config: { cache: { ttl } }`, a hit': 'responseCache'
}

/** What a hit costs: by `reply.cacheAside`, of a route whose answers are cached, and without a cache. */
export async function benchResponses ({ load, rounds, seconds }) {
  const text = JSON.stringify({ products: Array.from({ length: 8 }, () => PRODUCT) })
  const requests = KEYS.map((path) => ({ method: 'GET', path }))
  const subjects = []
  for (const [label, how] of Object.entries(WAYS)) {
    subjects.push({ label, server: await startServer('responses.mjs', { how, text }), rates: [], costs: [] })
  }
  for (const { server } of subjects) await load.run(server.url, requests, WARM_UP)
  await inTurns(subjects, rounds, async ({ server, rates, costs }) => {
    const before = await server.cpu()
    const { requests: answered, seconds: taken } = await load.run(server.url, requests, seconds)
    costs.push((await server.cpu() - before) / answered)
    rates.push(answered / taken)
  })
  for (const { server } of subjects) await server.stop()
  const [reference] = subjects
  printTable(`Answers from the cache · ${text.length} bytes · ${load.name}, ${rounds} × ${seconds} s`,
    ['', 'requests/s', 'ratio', 'CPU µs', 'ratio'],
    subjects.map(({ label, rates, costs }) => [
      label,
      Math.round(median(rates)).toLocaleString('en'),
      (median(rates) / median(reference.rates)).toFixed(2),
      median(costs).toFixed(1),
      (median(reference.costs) / median(costs)).toFixed(2)
    ]))
}
