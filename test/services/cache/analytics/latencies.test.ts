import t from 'tap'
import { Latencies, LatencyHistogram } from '../../../../services/cache/analytics/latencies.js'
import { Random } from '../random.js'
import { ManualClock } from '../setup.js'

t.test('quantiles are within 3.2 percent of the exact ones', async (t) => {
  const random = new Random()
  const histogram = new LatencyHistogram()
  // From a microsecond to ten seconds, each order of magnitude as likely as another.
  const values = Array.from({ length: 20_000 }, () => 10 ** (random.next() * 7 - 3))
  for (const value of values) histogram.add(value)
  values.sort((a, b) => a - b)
  for (const fraction of [0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999]) {
    const exact = values[Math.ceil(fraction * values.length) - 1] as number
    const told = histogram.quantile(fraction)
    // Below a microsecond the buckets are a sixteenth of one wide.
    t.ok(Math.abs(told - exact) <= Math.max(exact * 0.032, 0.0000625), `${fraction}: ${told} for ${exact}, seed ${random.seed}`)
  }
  t.equal(histogram.quantile(1), values.at(-1))
  t.equal(histogram.max, values.at(-1))
})

t.test('any duration finds a bucket', async (t) => {
  const histogram = new LatencyHistogram()
  t.ok(Number.isNaN(histogram.quantile(0.5)))
  for (const value of [0, -1, 1e-9, 134_217, 1e9, Infinity]) histogram.add(value)
  t.equal(histogram.count, 6)
  t.equal(histogram.quantile(0.01), 1 / 16_000 / 2)
  for (let units = 1; units < 2 ** 31; units = Math.ceil(units * 1.01)) {
    const single = new LatencyHistogram()
    const milliseconds = units / 16_000
    single.add(milliseconds)
    single.max = Infinity
    const told = single.quantile(0.5)
    if (Math.abs(told - milliseconds) > Math.max(milliseconds / 31, 1 / 16_000)) t.fail(`${milliseconds} told as ${told}`)
  }
})

t.test('operations are told apart, errors counted, and old times forgotten', async (t) => {
  const clock = new ManualClock()
  const latencies = new Latencies(clock.now)
  const told: string[] = []
  const next = { hit: () => { told.push('hit') }, miss: () => { told.push('miss') }, ok: () => { told.push('ok') }, error: () => { told.push('error') } }
  const get = latencies.of('get', next)
  const set = latencies.of('set')
  latencies.of('never')
  get.hit(1)
  get.miss(1)
  get.ok(1)
  get.error(100)
  set.ok(5)
  t.strictSame(told, ['hit', 'miss', 'ok', 'error'])
  const [read, write, ...others] = latencies.report()
  t.match(read, { operation: 'get', count: 4, errors: 1, recent: 4 })
  t.ok(Math.abs((read?.percentiles?.p50 ?? 0) - 0.001) < 0.00004)
  t.equal(read?.percentiles?.max, 0.1)
  t.ok(Math.abs((read?.percentiles?.p99 ?? 0) - 0.1) < 0.004)
  t.match(write, { operation: 'set', count: 1, errors: 0 })
  t.strictSame(others, [], 'what never happened is left out')

  clock.advance(301)
  latencies.turn()
  set.ok(7)
  t.equal(latencies.report()[1]?.recent, 2)
  clock.advance(301)
  latencies.turn()
  t.match(latencies.report(), [{ count: 4, errors: 1, recent: 0, percentiles: undefined }, { count: 2, recent: 1 }])
  t.equal(latencies.window, 301)
})
