import t from 'tap'
import { percentilesBetween } from '../../../services/live/percentiles.js'
import { Reading } from '../../../services/live/reading.js'
import { sampleBetween } from '../../../services/live/sample.js'
import { Metrics, type Sample } from '../../../services/metrics.js'

const circumstances = { time: Date.parse('2026-01-31T12:00:02.000Z'), contents: [], parts: undefined }

t.test('percentiles are those of what came between, interpolated in their bucket', async (t) => {
  const before = new Map([[0.1, 50], [0.2, 50], [Infinity, 50]])
  const after = new Map([[Infinity, 150], [0.2, 140], [0.1, 100]])
  t.strictSame(percentilesBetween(before, after), { p50: 0.1, p95: 0.2, p99: 0.2 }, 'past the last bound, that bound')
  t.strictSame(percentilesBetween(new Map(), new Map([[0.1, 0], [0.2, 10], [Infinity, 10]])), { p50: 0.15, p95: 0.195, p99: 0.199 })
  t.equal(percentilesBetween(before, before), null)
  t.equal(percentilesBetween(new Map(), new Map()), null)
})

t.test('a sample is the difference of two readings', async (t) => {
  const metrics = new Metrics(true)
  const route = metrics.addRoute('GET', '/x')
  let hits = 10
  metrics.addCollector((): Sample[] => [
    { name: 'larder_cache_hits_total', help: '', type: 'counter', labels: { backend: 'memory' }, value: hits },
    { name: 'larder_cache_misses_total', help: '', type: 'counter', labels: { backend: 'memory' }, value: hits / 2 },
    { name: 'larder_cache_hits_total', help: '', type: 'counter', labels: { backend: 'app' }, value: 7 },
    { name: 'larder_breaker_state', help: '', type: 'gauge', labels: { name: 'redis' }, value: 2 }
  ])
  metrics.observeRequest(route, 200, 5000)
  const before = new Reading(metrics.counted(), 1000)
  for (let i = 0; i < 8; i++) metrics.observeRequest(route, i < 6 ? 200 : 404, 0.1)
  hits = 40
  const now = new Reading(metrics.counted(), 3000)
  const sample = sampleBetween(before, now, {
    ...circumstances,
    contents: [{ name: 'memory', entries: 5, bytes: undefined, maxItems: 10, maxMemory: Infinity }]
  })
  t.match(sample, {
    time: '2026-01-31T12:00:02.000Z',
    seconds: 2,
    requests: { per_second: 4, by_status: { '2xx': 3, '4xx': 1 }, rate_limited_per_second: 0 },
    cache: { hits_per_second: 15, misses_per_second: 7.5, evictions_per_second: 0 },
    backends: [{ name: 'memory', hits_per_second: 15, entries: 5, bytes: null, max_items: 10, max_memory: null, latency: null, breaker: null }],
    parts: null,
    breakers: { redis: 'open' },
    process: { processes: 1, event_loop_lag: null }
  })
  t.equal(sample.cache.hit_rate, 66.67)
  t.ok(sample.requests.latency!.p99 <= 0.00025, 'what was before does not count')

  const nothing = sampleBetween(now, new Reading(metrics.counted(), 4000), circumstances)
  t.match(nothing, { requests: { per_second: 0, by_status: {}, latency: null }, cache: { hit_rate: null } })
  const fewer = sampleBetween(now, new Reading('', 4000), circumstances)
  t.match(fewer, { requests: { per_second: 0 }, cache: { hits_per_second: 0 }, streams: 0 }, 'nothing is below zero when a count is missing')
})

t.test('what several processes tell of themselves is summed, and the worst of them shown', async (t) => {
  const text = (cpu: number) => [
    'larder_processes 2', `process_cpu_seconds_total{worker="1"} ${cpu}`, 'process_cpu_seconds_total{worker="2"} 1', 'process_resident_memory_bytes{worker="1"} 100',
    'process_resident_memory_bytes{worker="2"} 50', 'nodejs_eventloop_lag_p99_seconds{worker="1"} 0.02', 'nodejs_eventloop_lag_p99_seconds{worker="2"} Nan',
    `process_start_time_seconds{worker="1"} ${circumstances.time / 1000 - 60}`, `process_start_time_seconds{worker="2"} ${circumstances.time / 1000 - 5}`, 'larder_streams_open 3', ''
  ].join('\n')
  const sample = sampleBetween(new Reading(text(1), 0), new Reading(text(1.5), 1000), circumstances)
  t.strictSame(sample.process, { processes: 2, cpu: 50, resident_bytes: 150, event_loop_lag: 0.02, uptime: 60 })
  t.equal(sample.streams, 3)
})
