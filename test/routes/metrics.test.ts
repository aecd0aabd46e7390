import t from 'tap'
import { eventually } from '../support/caches.js'
import { familiesOf, faultsIn } from '../support/prometheus-text.js'
import { temporaryFolder } from '../support/temporary-folder.js'
import { ADMINISTRATOR_KEY, openApp, sender } from './sample-app.js'

const administrator = { 'x-api-key': ADMINISTRATOR_KEY }
/** What no caller can make more of: some of each route, of each kind of operation, and of each policy. */
const MOST_SERIES = 6000

t.test('what is answered at /metrics', async (t) => {
  const app = await openApp(t, { DATA_DIR: temporaryFolder(t) })
  const send = sender(app)
  const scrape = async () => familiesOf((await send('GET /metrics')).body)
  const valueOf = async (name: string, labels: Record<string, string>) =>
    (await scrape()).get(name)?.series.find((series) => Object.entries(labels).every(([label, value]) => series.labels[label] === value))?.value
  const total = (families: Awaited<ReturnType<typeof scrape>>) => [...families.values()].reduce((sum, { series }) => sum + series.length, 0)

  /** Everything once, with names that begin with this. */
  const everything = async (mark: string): Promise<void> => {
    for (const backend of ['memory', 'database', 'file', 'redis', 'memcached', mark]) {
      await send(`POST /api/cache/set?backend=${backend}&namespace=${mark}`, { key: mark, value: mark, metadata: { tags: [mark] } })
      await send(`GET /api/cache/get/${mark}?backend=${backend}&namespace=${mark}`)
      await send(`GET /api/cache/get/none-${mark}?backend=${backend}`)
      await send(`POST /api/cache/get-batch?backend=${backend}`, [mark, 'x'])
      await send(`POST /api/cache/invalidate?backend=${backend}`, { tags: [mark], pattern: `${mark}*` })
    }
    await send('POST /api/cache/set', { key: `d${mark}`, value: 1, strategy: 'write_behind' })
    for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'PROPFIND']) await send(`${method} /${mark}/${mark}?${mark}=1`)
    await send(`GET /products/${mark}`, undefined, { 'user-agent': mark, 'x-request-id': mark })
    await send(`GET /user/${mark}`, undefined, { 'x-api-key': mark, host: `${mark}.example` })
    await send(`PUT /config/${mark}`, { value: 1 }, { 'if-match': '"0"' })
    await send('POST /api/posts/', { title: mark }, { 'idempotency-key': `"${mark}"` })
    await send('POST /events', { channel: mark, event: { type: mark } })
    await send(`GET /api/posts?${mark}=1`)
  }
  await t.test('says what stands against the limits of each backend', async (t) => {
    for (const backend of ['memory', 'database', 'file']) {
      t.equal((await send(`POST /api/cache/config?backend=${backend}`, { max_items: 500, max_memory: 1_000_000 })).statusCode, 200)
      const before = await valueOf('larder_cache_entries', { backend })
      for (let key = 0; key < 3; key++) await send(`POST /api/cache/set?backend=${backend}`, { key: `e${key}`, value: key })
      t.equal(await valueOf('larder_cache_limit_entries', { backend }), 500)
      t.equal(await valueOf('larder_cache_limit_bytes', { backend }), 1_000_000)
      await eventually(async () => await valueOf('larder_cache_entries', { backend }) === before! + 3, `the entries of ${backend} are counted`)
      t.ok((await valueOf('larder_cache_bytes', { backend }))! >= 3 * 256)
    }
  })

  await everything('first')

  await t.test('keeps to the conventions, name by name', async (t) => {
    const families = await scrape()
    t.strictSame(faultsIn(families), [])
    for (const name of [
      'larder_http_request_duration_seconds', 'larder_cache_operation_duration_seconds', 'larder_cache_hits_total', 'larder_cache_misses_total', 'larder_cache_evictions_total',
      'larder_cache_entries', 'larder_cache_bytes', 'larder_cache_limit_bytes', 'larder_cache_coalesced_total', 'larder_retries_total', 'larder_breaker_state',
      'larder_rate_limit_rejections_total', 'larder_event_lag_seconds', 'larder_event_dead_letters_waiting', 'larder_ready', 'larder_health_up', 'larder_build_info',
      'process_cpu_seconds_total', 'process_resident_memory_bytes', 'process_start_time_seconds', 'nodejs_eventloop_lag_p99_seconds', 'nodejs_heap_size_used_bytes'
    ]) t.ok(families.get(name)?.series.length, name)
  })

  await t.test('has no more series whatever callers name', async (t) => {
    const before = await scrape()
    for (let round = 0; round < 4; round++) await everything(`m${round}${'x'.repeat(round)}`)
    const after = await scrape()
    t.strictSame([...after.keys()].sort(), [...before.keys()].sort())
    // The same routes may have answered with other kinds of status, and the same operations may have failed.
    const labels = (families: typeof before) => new Set([...families].flatMap(([name, { series }]) => series.flatMap((each) => Object.entries(each.labels).filter(([label]) => label !== 'type').map((pair) => `${name} ${pair.join('=')}`))))
    const known = labels(before)
    t.strictSame([...labels(after)].filter((label) => !known.has(label) && !/status=|outcome=|le=|kind=/.test(label)), [], 'nothing that a caller named became a label')
    t.ok(total(after) < MOST_SERIES, `${total(after)} series`)
    t.strictSame(faultsIn(after), [])
  })

  await t.test('says which parts work', async (t) => {
    t.equal(await valueOf('larder_ready', {}), 1)
    t.equal(await valueOf('larder_health_up', { part: 'postgres', required: 'true' }), 1)
    app.health.add('journal', () => { throw new Error('no journal') }, { required: false })
    await eventually(async () => await valueOf('larder_health_up', { part: 'journal' }) === 0, 'it is seen that there is no journal')
    t.equal(await valueOf('larder_ready', {}), 1, 'requests go on being sent here')
  })

  await t.test('counts a stream of events by how long it took to begin', async (t) => {
    await app.listen({ port: 0, host: '127.0.0.1' })
    const gone = new AbortController()
    const stream = await fetch(`${app.listeningOrigin}/events`, { headers: administrator, signal: gone.signal })
    t.equal(await valueOf('larder_streams_open', {}), 1)
    await new Promise((resolve) => setTimeout(resolve, 300))
    gone.abort()
    await stream.text().catch((error: Error) => { t.equal(error.name, 'AbortError') })
    await eventually(async () => await valueOf('larder_streams_open', {}) === 0, 'the stream has ended')
    const ofStreams = async (part: string) => (await scrape()).get('larder_http_request_duration_seconds')!.series
      .find(({ name, labels: { route, method } }) => name.endsWith(part) && route === '/events' && method === 'GET')?.value
    await eventually(async () => await ofStreams('_count') === 1, 'the request is counted')
    t.ok((await ofStreams('_sum'))! < 0.3, 'not for as long as somebody listened')
  })
})
