import t from 'tap'
import { eventually } from './support/caches.js'
import { alerts, alertsText, filledIn, queries } from './support/grafana.js'
import { familiesOf, faultsIn } from './support/prometheus-text.js'
import { mentionedIn } from './support/promql.js'
import { databaseUrl, memcachedUrl, redisUrl, startPrometheus } from './support/servers.js'
import { type Service, startService } from './support/service.js'
import { temporaryFolder } from './support/temporary-folder.js'

t.setTimeout(400_000)

interface Found { metric: Record<string, string> }

/** Everything there is, so that everything is counted. */
async function use ({ url }: Service, backends: readonly string[]): Promise<void> {
  const ask = async (request: string, body?: unknown, headers: Record<string, string> = {}): Promise<number> => {
    const [method = '', path = ''] = request.split(' ')
    const response = await fetch(`${url}${path}`, {
      method, headers: { ...body === undefined ? {} : { 'content-type': 'application/json' }, ...headers }, ...body === undefined ? {} : { body: JSON.stringify(body) }
    })
    await response.arrayBuffer()
    return response.status
  }
  for (const backend of backends) {
    await ask(`POST /api/cache/set?backend=${backend}`, { key: 'a', value: 1, metadata: { tags: ['t'] } })
    for (const key of ['a', 'a', 'none']) await ask(`GET /api/cache/get/${key}?backend=${backend}`)
    await ask(`POST /api/cache/get-batch?backend=${backend}`, ['a', 'b'])
    await ask(`POST /api/cache/increment?backend=${backend}`, { key: 'n' })
    await ask(`POST /api/cache/touch?backend=${backend}`, { key: 'a', ttl: 5 })
    await ask(`GET /api/cache/keys?backend=${backend}`)
    await ask(`POST /api/cache/invalidate?backend=${backend}`, { tags: ['t'] })
    await ask(`DELETE /api/cache/delete/a?backend=${backend}`)
    await ask(`POST /api/cache/config?backend=${backend}`, { max_items: 1000, max_memory: 10_000_000 })
  }
  await ask('POST /api/cache/set', { key: 'd', value: 1, strategy: 'write_behind' })
  for (const path of ['/products', '/products', '/api/posts/', '/api/posts/', '/api/posts/?nocache=true', '/nowhere', '/cache/performance']) await ask(`GET ${path}`)
  await ask('POST /items', { name: 'Alice' }, { 'idempotency-key': '"one"' })
  await ask('POST /events', { channel: 'kitchen', event: { type: 'opened' } })
  await ask('GET /items', undefined, { 'x-api-key': 'wrong' })
  // Of what is not there at all: 503.
  await ask('GET /api/cache/get/a?backend=memcached')
}

t.test('every query of the dashboard and of the alerts finds something in a Prometheus that asks real services', async (t) => {
  const alone = await startService(t, { DATA_DIR: temporaryFolder(t) })
  const several = await startService(t, {
    DATA_DIR: temporaryFolder(t), DATABASE_URL: await databaseUrl(t), REDIS_URL: await redisUrl(t), MEMCACHED_URL: await memcachedUrl(t), WORKERS: '2', CACHE_DEADLINE: '1000', SAMPLE_DATA: 'true'
  })
  await eventually(() => several.log().includes('2 processes serve'), 'both processes', 60_000)
  await use(alone, ['memory', 'database', 'file'])
  await use(several, ['redis', 'database', 'memcached'])

  const prometheus = await startPrometheus(t, {
    'alerts.yml': alertsText,
    'prometheus.yml': JSON.stringify({
      global: { scrape_interval: '500ms', scrape_timeout: '500ms', evaluation_interval: '500ms' },
      rule_files: ['alerts.yml'],
      scrape_configs: [{ job_name: 'larder', static_configs: [{ targets: [alone, several].map(({ url }) => new URL(url).host) }] }]
    })
  })
  const ask = async <T>(path: string): Promise<T> => {
    const response = await fetch(`${prometheus.url}${path}`)
    const { status, error, data } = await response.json() as { status: string, error?: string, data: T }
    if (status !== 'success') throw new Error(`${path}: ${error}`)
    return data
  }
  const found = async (query: string): Promise<Found[]> => (await ask<{ result: Found[] }>(`/api/v1/query?query=${encodeURIComponent(query)}`)).result
  await eventually(async () => (await found('up == 1')).length === 2, 'both are asked', 20_000)
  await Promise.all([use(alone, ['memory', 'database', 'file']), use(several, ['redis', 'database', 'memcached'])])
  await eventually(async () => (await found('count_over_time(larder_ready[1m]) > 8')).length === 2, 'they have been asked some times', 30_000)

  await t.test('of the dashboard, with the labels of its legends', async (t) => {
    for (const { panel, expr, legendFormat } of queries) {
      const results = await found(filledIn(expr))
      t.ok(results.length > 0, `${panel}: ${expr}`)
      const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label!)
      for (const label of shown) t.ok(results.some(({ metric }) => metric[label] !== undefined), `${panel} shows ${label}`)
    }
  })

  await t.test('of the alerts: each thing that one asks for is there, and what it groups by', async (t) => {
    for (const { alert, expr } of alerts) {
      const { selectors, grouping } = mentionedIn(expr)
      t.ok(selectors.length > 0, alert)
      const labels = new Set<string>()
      for (const { text } of selectors) {
        const results = await found(text)
        t.ok(results.length > 0, `${alert}: ${text}`)
        for (const { metric } of results) for (const label of Object.keys(metric)) labels.add(label)
      }
      for (const label of grouping) t.ok(labels.has(label), `${alert} groups by ${label}`)
    }
    const { groups } = await ask<{ groups: { rules: { name: string, health: string, lastError?: string, state: string }[] }[] }>('/api/v1/rules')
    const rules = groups.flatMap((group) => group.rules)
    t.equal(rules.length, alerts.length)
    t.strictSame(rules.filter(({ health }) => health !== 'ok').map(({ name, lastError }) => [name, lastError]), [], 'Prometheus evaluates all of them')
    t.strictSame(rules.filter(({ state }) => state === 'firing').map(({ name }) => name), [], 'nothing is wrong with services that have just begun')
  })

  await t.test('and what both tell keeps to the conventions', async (t) => {
    for (const { url } of [alone, several]) t.strictSame(faultsIn(familiesOf(await (await fetch(`${url}/metrics`)).text())), [])
  })
})
