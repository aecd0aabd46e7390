import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { Agent, request, type IncomingMessage } from 'node:http'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t from 'tap'
import { eventually } from '../support/caches.js'
import { send, startService, type Service } from '../support/service.js'
import { redisUrl, startRedis } from '../support/servers.js'

const ENTRIES = 1_000_000
const MEBIBYTE = 2 ** 20
/** Left to itself, V8 lets garbage grow with the heap before it collects. */
const FRUGAL = { NODE_OPTIONS: '--max-old-space-size=900' }

const DATA_DIR = mkdtempSync(join(tmpdir(), 'larder-'))
t.teardown(() => { rmSync(DATA_DIR, { recursive: true, force: true }) })

t.test('a million entries come in and go out in bounded memory', async (t) => {
  const service = await startService(t, { DATA_DIR, CACHE_MAX_ITEMS: '2000000', CACHE_MAX_MEMORY: String(2 ** 30), ...FRUGAL })
  const answer = await upload(service, rows(ENTRIES))
  t.match(answer, { success: true, total_items: ENTRIES })
  // What is held is meant to be held: only what the transfer itself takes counts.
  let [lines, bytes] = [0, 0]
  const out = await watched(service, async () => {
    const response = await fetch(`${service.url}/api/cache/export?format=ndjson`)
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      bytes += chunk.length
      for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, at + 1)) lines++
    }
  })
  t.equal(lines, ENTRIES)
  t.comment(`${Math.round(bytes / MEBIBYTE)} MiB of NDJSON out of a process that grew by ${out.grown} MiB`)
  t.ok(out.grown < 300, 'the export takes a part of its file only')

  t.comment('again, over what is there: an import takes no memory of its own')
  const { grown } = await watched(service, async () => { t.match(await upload(service, rows(ENTRIES)), { total_items: ENTRIES }) })
  t.comment(`grew by ${grown} MiB`)
  t.ok(grown < 200)
})

t.test('a reader that goes away, or does not read, holds nothing up', async (t) => {
  const service = await startService(t, { DATA_DIR: join(DATA_DIR, 'slow'), CACHE_MAX_ITEMS: '200000', CACHE_MAX_MEMORY: String(2 ** 29) })
  await upload(service, rows(100_000))
  const before = residentOf(service)
  const readers = await Promise.all(Array.from({ length: 10 }, async () => {
    const asked = request(`${service.url}/api/cache/export`).end()
    const [response] = await once(asked, 'response') as [IncomingMessage]
    return response.pause()
  }))
  t.match(await send(`${service.url}/api/cache/exists/k5`), { status: 200, body: { exists: true } })
  t.ok(residentOf(service) - before < 100 * MEBIBYTE, 'what is not read is not made')
  for (const reader of readers) reader.destroy()
  t.match(await send(`${service.url}/api/cache/exists/k5`), { status: 200, body: { exists: true } })
})

t.test('an upload that breaks off stores nothing, and leaves no file', async (t) => {
  const service = await startService(t, { DATA_DIR: join(DATA_DIR, 'broken'), CACHE_MAX_IMPORT_SIZE: '500000' })
  const upload = request(`${service.url}/api/cache/import`, { method: 'POST', headers: { 'content-type': 'application/x-ndjson' } })
  upload.on('error', () => {})
  for (const chunk of rows(1000)) upload.write(chunk)
  // It has lost its name already.
  const spools = (): string[] => readdirSync(`/proc/${service.pid}/fd`).filter((fd) => nameOf(`/proc/${service.pid}/fd/${fd}`).includes('/import-'))
  await eventually(() => spools().length === 1, 'it is being spooled')
  upload.destroy()
  await eventually(() => spools().length === 0, 'the file is given back')
  t.match((await send(`${service.url}/api/cache/keys`)).body, { total_keys: 0 })
  t.strictSame(readdirSync(join(DATA_DIR, 'broken'), { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('import-')), [])
  t.equal((await send(`${service.url}/health/ready`)).status, 200)

  t.test('one that is refused before its end leaves its connection to the next request', async (t) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    t.teardown(() => { agent.destroy() })
    for (const size of [600_000, 1_000_000, 5_000_000]) {
      const upload = request(`${service.url}/api/cache/import`, { method: 'POST', agent, headers: { 'content-type': 'application/x-ndjson', 'content-length': size } })
      upload.end(Buffer.alloc(size, 0x20))
      const [refusal] = await once(upload, 'response') as [IncomingMessage]
      t.equal(refusal.resume().statusCode, 413)
      const next = request(`${service.url}/health/live`, { agent, signal: AbortSignal.timeout(20_000) }).end()
      const [response] = await once(next, 'response') as [IncomingMessage]
      t.equal(response.resume().statusCode, 200, `after ${size} bytes`)
    }
  })
})

t.test('a Redis that is full in the middle of an import has what it had before', async (t) => {
  const redis = await startRedis(t, { args: ['--maxmemory', '8mb', '--maxmemory-policy', 'noeviction'] })
  const service = await startService(t, { DATA_DIR: join(DATA_DIR, 'full'), REDIS_URL: redis.url, CACHE_BACKEND: 'redis', CACHE_DEADLINE: '1000' })
  await send(`${service.url}/api/cache/set`, 'POST', { key: 'k0', value: 'mine' })
  const answer = await upload(service, rows(40_000), 507)
  t.match(answer, { status: 507 })
  t.match((await send(`${service.url}/api/cache/get/k0`)).body, { cache_item: { value: 'mine' } })
  t.match((await send(`${service.url}/api/cache/keys`)).body, { total_keys: 1 })
})

t.test('two hundred thousand entries go into Redis in bounded memory', async (t) => {
  const service = await startService(t, { DATA_DIR: join(DATA_DIR, 'redis'), REDIS_URL: await redisUrl(t), CACHE_BACKEND: 'redis', CACHE_DEADLINE: '1000', ...FRUGAL })
  const { grown } = await watched(service, async () => { t.match(await upload(service, rows(200_000)), { total_items: 200_000 }) })
  t.comment(`grew by ${grown} MiB`)
  t.ok(grown < 300)
})

/** The lines of an export of so many small entries. */
function * rows (count: number): Generator<string> {
  let text = ''
  for (let i = 1; i <= count; i++) {
    text += `{"row":${i},"key":"k${i - 1}","value":{"id":${i},"name":"Sample Product","price":29.99},"data_type":"json","ttl":3600,"metadata":{"tags":["t${i % 10}"]}` +
      (i === count ? `,"total_items":${count}}` : '}\n')
    if (text.length < 60_000 && i < count) continue
    yield text
    text = ''
  }
}

async function upload ({ url }: Service, chunks: Iterable<string>, status = 200): Promise<unknown> {
  const sending = request(`${url}/api/cache/import`, { method: 'POST', headers: { 'content-type': 'application/x-ndjson' } })
  Readable.from(chunks).pipe(sending)
  const [response] = await once(sending, 'response') as [IncomingMessage]
  const text = (await response.toArray()).join('')
  if (response.statusCode !== status) throw new Error(`${response.statusCode}: ${text}`)
  return JSON.parse(text)
}

/** By how many MiB the process grew at most while something was done. */
async function watched (service: Service, act: () => Promise<void>): Promise<{ grown: number }> {
  const before = residentOf(service)
  let most = before
  const watching = setInterval(() => { most = Math.max(most, residentOf(service)) }, 50)
  await act().finally(() => { clearInterval(watching) })
  return { grown: Math.round((most - before) / MEBIBYTE) }
}

/** What a link of /proc leads to; nothing when it is closed meanwhile. */
function nameOf (link: string): string {
  try {
    return readlinkSync(link)
  } catch {
    return ''
  }
}

/** Bytes. */
function residentOf ({ pid }: Service): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}
