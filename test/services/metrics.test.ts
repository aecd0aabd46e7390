import t from 'tap'
import { Metrics } from '../../services/metrics.js'

t.test('latencies fall into cumulative buckets, in seconds', async (t) => {
  const metrics = new Metrics(true)
  const route = metrics.addRoute('GET', '/x')
  for (const ms of [0.1, 0.25, 0.3, 7, 20_000]) metrics.observeRequest(route, 200, ms)
  metrics.observeRequest(route, 404, 1)
  metrics.observeRequest(route, 700, 1)
  const text = await metrics.render()
  const line = (name: string, more = '') =>
    new RegExp(`^larder_http_request_duration_seconds_${name}\\{method="GET",route="/x",status="2xx"${more}\\} (\\S+)$`, 'm').exec(text)?.[1]
  t.equal(line('bucket', ',le="0\\.00025"'), '2')
  t.equal(line('bucket', ',le="0\\.0005"'), '3')
  t.equal(line('bucket', ',le="0\\.01"'), '4')
  t.equal(line('bucket', ',le="10"'), '4')
  t.equal(line('bucket', ',le="\\+Inf"'), '5')
  t.equal(line('count'), '5')
  t.ok(Math.abs(Number(line('sum')) - 20.00765) < 1e-9)
  t.match(text, /status="4xx"\} 1/)
  t.match(text, /status="5xx"\} 1/)
  t.match(text, /^process_resident_memory_bytes \d+/m)
  t.match(metrics.contentType, /^text\/plain; version=0\.0\.4/)
})

t.test('operations are counted by backend, operation and outcome', async (t) => {
  const metrics = new Metrics(true)
  const counters = ['get', 'set', 'delete', 'clear', 'list'].flatMap((operation) =>
    ['memory', 'redis', 'file'].map((backend) => metrics.cacheOperation(backend, operation)))
  const get = metrics.cacheOperation('memory', 'get')
  get.hit(0.004)
  counters[0]!.hit(1)
  get.miss(1)
  get.stale(1)
  get.ok(1)
  get.error(1)
  counters.at(-1)!.ok(1)
  const text = await metrics.render()
  const count = (backend: string, operation: string, outcome: string) => Number(new RegExp(
    `^larder_cache_operation_duration_seconds_count\\{backend="${backend}",operation="${operation}",outcome="${outcome}"\\} (\\d+)$`, 'm').exec(text)?.[1])
  t.equal(count('memory', 'get', 'hit'), 2, 'the same backend and operation share a counter')
  for (const outcome of ['miss', 'stale', 'ok', 'error']) t.equal(count('memory', 'get', outcome), 1)
  t.equal(count('file', 'list', 'ok'), 1)
  t.notMatch(text, /backend="redis"/, 'what never happened takes no room')
})

t.test('collectors are asked when somebody asks', async (t) => {
  const metrics = new Metrics(true)
  let entries = 1
  metrics.addCollector(() => [
    { name: 'larder_cache_entries', help: 'Entries', type: 'gauge', labels: { backend: 'memory' }, value: entries },
    { name: 'larder_loads_total', help: 'Loads', type: 'counter', value: 3 }
  ])
  metrics.addCollector(() => [{ name: 'larder_cache_entries', help: 'Entries', type: 'gauge', labels: { backend: 'a"b\\c\nd' }, value: 7 }])
  entries = 5
  const text = await metrics.render()
  t.match(text, '# HELP larder_cache_entries Entries\n# TYPE larder_cache_entries gauge\n' +
    'larder_cache_entries{backend="memory"} 5\nlarder_cache_entries{backend="a\\"b\\\\c\\nd"} 7\n')
  t.match(text, '\nlarder_loads_total 3\n')
})

t.test('switched off, everything is there and nothing happens', async (t) => {
  const metrics = new Metrics(false)
  const counter = metrics.cacheOperation('memory', 'get')
  for (const count of Object.values(counter) as ((ms: number) => void)[]) count(1)
  metrics.observeRequest(metrics.addRoute('GET', '/x'), 200, 1)
  t.notMatch(await metrics.render(), /_count/)
})
