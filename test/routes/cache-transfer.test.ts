import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../support/caches.js'
import { Api, startApp, type Answer } from './cache/api.js'

const DATA_DIR = mkdtempSync(join(tmpdir(), 'larder-'))
const app = await startApp(t, { DATA_DIR, CACHE_MAX_IMPORT_SIZE: '4000000' })
t.teardown(() => { rmSync(DATA_DIR, { recursive: true, force: true }) })

const LONG = 'ü'.repeat(40_000)
/** Every type, falsy values, what CSV and JSON escape. */
const ENTRIES: [key: string, value: unknown, more: object][] = [
  ['text', 'plain', { ttl: 0 }],
  ['empty', '', { ttl: 100.5 }],
  ['zero', 0, { strategy: 'lru' }],
  ['false', false, {}],
  ['null', null, {}],
  ['list', [1, [2], { a: 'b' }], { data_type: 'list' }],
  ['dictionary', { a: { b: [1, 'x'] }, 10: 'ten', 9: 'nine' }, { data_type: 'dictionary', metadata: { tags: ['x', 'y'], n: [1] } }],
  ['binary', 'AAH/', { data_type: 'binary' }],
  ['é:/ "quoted", and\\more', 'a\n"b",\u2028\u0000', { metadata: { note: '}],"total_items":9}' } }],
  ['=1+1', -1.5e-7, {}],
  ['long', { text: LONG, entries: [{ entries: [] }] }, {}]
]

const upload = (api: Api, file: string, query: Record<string, string> = {}, type = 'application/x-ndjson'): Promise<Answer> =>
  api.post('/import', file, query, { 'content-type': type })

/** What an import brings back of an entry. */
async function entryOf (api: Api, key: string): Promise<unknown> {
  const { found, cache_item: item } = (await api.read(key)).body as unknown as { found: boolean, cache_item: Record<string, unknown> }
  if (!found) return undefined
  const { value, data_type: dataType, metadata, strategy, size, ttl } = item
  // Two readings of a TTL are some milliseconds apart.
  return { value, dataType, metadata, strategy, size, ttl: Math.round(ttl as number / 60) }
}

for (const backend of ['memory', 'redis', 'database']) {
  await t.test(backend, async (t) => {
    const from = new Api(app, backend)
    for (const [key, value, more] of ENTRIES) t.equal((await from.set(key, value, more)).status, 200)

    for (const format of ['json', 'ndjson'] as const) {
      await t.test(`what is exported as ${format} comes back without loss`, async (t) => {
        const file = (await from.get('/export', { format })).text
        const to = new Api(app, backend)
        const { status, body } = await upload(to, file, {}, format === 'json' ? 'application/json' : 'application/x-ndjson')
        t.match({ status, body }, { status: 200, body: { success: true, total_items: ENTRIES.length, successful_count: ENTRIES.length, failed_count: 0 } })
        for (const [key] of ENTRIES) t.strictSame(await entryOf(to, key), await entryOf(from, key), key)
        t.equal((await to.get('/keys')).body.total_keys, ENTRIES.length)
      })
    }

    await t.test('an export with a pattern has what matches, with neither reads nor recency changed', async (t) => {
      const listed = async () => (await from.get('/keys', { pattern: 'zero' })).body.keys[0]
      // One for each format before. Reads are reported to shared backends a little later.
      await eventually(async () => (await listed())?.access_count === 2, 'its reads are counted')
      const before = await listed()
      const { entries, total_items: total } = JSON.parse((await from.get('/export', { pattern: '*e*' })).text) as { entries: Array<{ key: string }>, total_items: number }
      t.strictSame(entries.map(({ key }) => key).sort(), ['empty', 'false', 'text', 'zero', 'é:/ "quoted", and\\more'].filter((key) => key.includes('e')).sort())
      t.equal(total, entries.length)
      const { access_count: reads, version } = before!
      t.match(await listed(), { access_count: reads, version })
    })

    await t.test('grace goes out and comes back to the millisecond, and what is stale stays where it is', async (t) => {
      const [from, to] = [new Api(app, backend), new Api(app, backend)]
      const fresh: Record<string, { ttl: number, grace?: number }> = { long: { ttl: 1000, grace: 3600 }, part: { ttl: 1000, grace: 0.125 }, ever: { ttl: 0, grace: 12.345 }, none: { ttl: 1000 }, plain: { ttl: 0 } }
      const grace = (key: string) => fresh[key]!.grace
      for (const [key, times] of Object.entries(fresh)) await from.set(key, key, times)
      await from.set('soft', 1, { ttl: 1000, grace: 60, metadata: { tags: ['soft'] } })
      await from.set('soft-ever', 1, { ttl: 0, grace: 60, metadata: { tags: ['soft'] } })
      t.match((await from.post('/invalidate', { tags: ['soft'], mode: 'soft' })).body, { deleted_count: 0, stale_count: 2 })
      await from.set('past', 1, { ttl: 0.001, grace: 60 })
      await eventually(async () => !(await from.get('/exists/past')).body.exists, 'its TTL is over')
      const names = Object.keys(fresh).sort()
      const listed = async (api: Api) => (await api.get('/keys')).body.keys.map(({ key, grace }) => ({ key, grace })).sort((a, b) => a.key < b.key ? -1 : 1)
      t.strictSame(await listed(from), names.map((key) => ({ key, grace: grace(key) })), 'the list of keys tells it')
      const lines = (await from.get('/export', { format: 'csv' })).text.trimEnd().split('\r\n')
      t.strictSame(Object.fromEntries(lines.map((line) => [line.split(',')[0], line.split(',').at(-1)])), { key: 'grace', ...Object.fromEntries(names.map((key) => [key, String(grace(key) ?? '')])) })
      for (const format of ['json', 'ndjson'] as const) {
        const file = (await from.get('/export', { format })).text
        t.match(await upload(to, file, {}, format === 'json' ? 'application/json' : 'application/x-ndjson'), { status: 200, body: { total_items: names.length } })
        t.strictSame(await listed(to), names.map((key) => ({ key, grace: grace(key) })), format)
        for (const key of names) t.equal((await to.read(key)).body.cache_item.grace, grace(key), `${format}: ${key}`)
        t.match((await to.post('/invalidate', { pattern: 'ever', mode: 'soft' })).body, { deleted_count: 0, stale_count: 1 }, 'and holds')
        for (const key of names) await to.delete(`/delete/${key}`)
      }
    })

    await t.test('a namespace that is empty exports nothing, and that comes back as nothing', async (t) => {
      const file = (await new Api(app, backend).get('/export')).text
      t.match(JSON.parse(file), { entries: [], total_items: 0 })
      t.match((await upload(new Api(app, backend), file, {}, 'application/json')).body, { total_items: 0 })
    })
  })
}

await t.test('all namespaces go out together, and each entry goes back where it was', async (t) => {
  const [a, b] = [new Api(app, 'memory', 'several-a'), new Api(app, 'memory', 'several-b')]
  await a.set('k', 'in a')
  await b.set('k', 'in b')
  const file = (await app.inject('/api/cache/export?namespace=*&format=ndjson&pattern=k')).body
  for (const api of [a, b]) await api.delete('/delete/k')
  const { statusCode } = await app.inject({ method: 'POST', url: '/api/cache/import', payload: file, headers: { 'content-type': 'application/x-ndjson' } })
  t.equal(statusCode, 200)
  t.match([await entryOf(a, 'k'), await entryOf(b, 'k')], [{ value: 'in a' }, { value: 'in b' }])
})

await t.test('CSV has a header, a line for each entry, and no formulas', async (t) => {
  const api = new Api(app, 'memory')
  await api.set('=1+1', 'a "b",\nc', { metadata: { tags: ['t'] } })
  const { headers, text } = await api.get('/export', { format: 'csv' })
  t.match(headers, { 'content-type': /^text\/csv/, 'content-disposition': 'attachment; filename="larder-memory.csv"' })
  const [head, row, rest] = text.split('\r\n')
  t.equal(head, 'key,namespace,value,data_type,ttl,created_at,accessed_at,access_count,size,metadata,strategy,version,grace')
  t.ok(row!.startsWith(`'=1+1,${api.namespace},"""a \\""b\\"",\\nc""",string,`), String(row))
  t.equal(rest, '')
  t.match(await upload(api, text, {}, 'text/csv'), { status: 415, body: { type: '/problems/unsupported-media-type', detail: /CSV is for export only.*JSON or NDJSON/ } })
})

await t.test('a file at fault is refused as a whole, with the line', async (t) => {
  const source = new Api(app, 'memory')
  for (let i = 0; i < 20; i++) await source.set(`k${i}`, { i })
  const lines = (await source.get('/export', { format: 'ndjson' })).text.trimEnd().split('\n')
  const json = (await source.get('/export', { format: 'json' })).text
  const edit = (line: number, change: (row: Record<string, unknown>) => unknown): string =>
    lines.map((text, at) => at === line - 1 ? JSON.stringify(change(JSON.parse(text) as Record<string, unknown>)) : text).join('\n')
  const cases: [name: string, file: string, line: number | RegExp, type?: string][] = [
    ['cut off at a line', lines.slice(0, 10).join('\n'), 10],
    ['cut off in a line', lines.join('\n').slice(0, -400), /line (18|19)/],
    ['without its last line', lines.slice(0, -1).join('\n'), 19],
    ['with a line missing', [...lines.slice(0, 4), ...lines.slice(5)].join('\n'), 5],
    ['with two lines swapped', [lines[1], lines[0], ...lines.slice(2)].join('\n'), 1],
    ['with something behind the end', [...lines, lines[0]].join('\n'), 21],
    ['with a line that is no JSON', lines.with(6, '{"row":7,').join('\n'), 7],
    ['with a value that is not of its type', edit(3, (row) => ({ ...row, data_type: 'number' })), 3],
    ['with a field that is not known', edit(4, (row) => ({ ...row, colour: 'red' })), 4],
    ['with a key that is none', edit(5, (row) => ({ ...row, key: 'a\u0000b' })), 5],
    ['with a tag that is none', edit(5, (row) => ({ ...row, metadata: { tags: [''] } })), 5],
    ['with a field __proto__', lines.with(8, lines[8]!.replace('"value":{', '"value":{"__proto__":{},')).join('\n'), 9],
    ['with a value nested too deep', lines.with(8, lines[8]!.replace('"value":{', `"value":{"x":${'['.repeat(100)}${']'.repeat(100)},`)).join('\n'), 9],
    ['of another origin', '{"key":"k","value":1}\n', 1],
    ['of nothing', '', 1],
    ['in JSON, cut off', json.slice(0, -1000), /line \d+/, 'application/json'],
    ['in JSON, with an entry missing', json.split('\n').filter((_, at) => at !== 5).join('\n'), /line 22/, 'application/json'],
    ['in JSON, of another origin', '{"products":[{"id":1}]}', 1, 'application/json'],
    ['in JSON, a list', '[1,2]', 1, 'application/json'],
    ['in JSON, with two commas', json.replace('},\n', '},,\n'), 2, 'application/json'],
    ['in JSON, with something behind the end', `${json}{}`, /line 2\d/, 'application/json']
  ]
  for (const [name, file, line, type] of cases) {
    await t.test(name, async (t) => {
      const to = new Api(app, 'memory')
      const { status, body } = await upload(to, file, {}, type)
      t.equal(status, 400, JSON.stringify(body))
      t.match(body.detail, typeof line === 'number' ? new RegExp(`^line ${line} `) : line)
      t.match(body.errors?.[0]?.path, /^body\/line \d+$/)
      t.equal((await to.get('/keys')).body.total_keys, 0, 'nothing was stored')
    })
  }

  await t.test('JSON may have been laid out anew', async (t) => {
    const to = new Api(app, 'memory')
    t.match(await upload(to, JSON.stringify(JSON.parse(json), null, 4), {}, 'application/json'), { status: 200, body: { total_items: 20 } })
  })
})

await t.test('what does not fit is refused before anything is stored', async (t) => {
  const small = await startApp(t, { DATA_DIR, CACHE_MAX_ITEMS: '5', CACHE_MAX_MEMORY: '3000' })
  const source = new Api(app, 'memory')
  for (let i = 0; i < 6; i++) await source.set(`k${i}`, i)
  const many = (await source.get('/export', { format: 'ndjson' })).text
  const to = new Api(small, 'memory')
  await to.set('mine', 1)
  t.match(await upload(to, many), { status: 413, body: { detail: /6 entries, and max_items is 5/ } })
  for (let i = 3; i < 6; i++) await source.delete(`/delete/k${i}`)
  await source.set('k0', 'x'.repeat(2500))
  t.match(await upload(to, (await source.get('/export', { format: 'ndjson' })).text), { status: 413, body: { detail: /bytes of entries, and max_memory is 3000/ } })
  await source.set('k0', 'x'.repeat(3500))
  t.match(await upload(to, (await source.get('/export', { format: 'ndjson' })).text), { status: 413, body: { detail: /an entry of \d+ bytes at line 1/ } })
  t.match(await to.get('/keys'), { body: { total_keys: 1 } }, 'what was there still is')

  await t.test('also into a namespace with a quota, and into what quotas leave', async (t) => {
    const limits = new Api(small, 'memory', 'default')
    await limits.post('/config', { max_items: 10, max_memory: 30_000 })
    await to.post('/config', { max_items: 2, max_memory: 2000 })
    const file = async (): Promise<string> => (await source.get('/export', { format: 'ndjson' })).text
    const whose = `of the namespace ${to.namespace} `
    await source.set('k0', 0)
    t.match(await upload(to, await file()), { status: 413, body: { detail: new RegExp(`3 entries, and max_items ${whose}is 2`) } })
    await source.delete('/delete/k2')
    await source.set('k0', 'x'.repeat(1900))
    t.match(await upload(to, await file()), { status: 413, body: { detail: new RegExp(`max_memory ${whose}is 2000`) } })
    await to.post('/config', { max_items: 9, max_memory: 20_000 })
    t.match(await upload(new Api(small, 'memory'), await file()), { status: 413, body: { detail: /2 entries, and max_items is 1/ } })
    t.match(await upload(to, await file()), { status: 200, body: { total_items: 2 } })
    await to.post('/config', { max_items: null, max_memory: null })
  })
})

await t.test('an import has a limit of its own, far above that of other bodies', async (t) => {
  const source = new Api(app, 'memory')
  for (let i = 0; i < 30; i++) await source.set(`k${i}`, 'x'.repeat(100_000))
  const file = (await source.get('/export', { format: 'ndjson' })).text
  t.ok(file.length > 3_000_000)
  const to = new Api(app, 'memory')
  t.match(await upload(to, file), { status: 200, body: { total_items: 30 } })
  t.match(await upload(to, file + ' '.repeat(1_100_000)), { status: 413 })
  t.strictSame(readdirSync(join(DATA_DIR, 'spool')), [], 'nothing is left on disk')
})

await t.test('a strategy that the backend cannot honour is said with its line', async (t) => {
  const source = new Api(app, 'memory')
  await source.set('a', 1)
  await source.set('b', 2, { strategy: 'sieve' })
  const file = (await source.get('/export', { format: 'ndjson' })).text
  t.match(await upload(new Api(app, 'redis'), file), { status: 422, body: { detail: /^Line 2: .*sieve/ } })
})

await t.test('bad requests', async (t) => {
  const api = new Api(app, 'memory')
  t.match(await api.get('/export', { format: 'xml' }), { status: 400 })
  t.match(await api.get('/export', { colour: 'red' }), { status: 400 })
  t.match(await api.get('/export', { pattern: 'é'.repeat(200) }), { status: 400 })
  t.match(await upload(api, '', { format: 'csv' }), { status: 400 })
  t.match(await api.post('/import', undefined, { format: 'json' }), { status: 400 }, 'no file at all')
  for (const query of [undefined, { format: 'ndjson' }]) t.match(await api.post('/import', 'x', query, { 'content-encoding': 'gzip' }), { status: 415 })
})
