import { openSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { LOAD_CORE, which } from './machine.mjs'
import { freePort } from './ports.mjs'
import { start, startServer, stop } from './processes.mjs'
import { inTurns, printLoads } from './statistics.mjs'

const KEYS = Array.from({ length: 1000 }, (_, i) => `user:${1000 + i}`)
const valueOf = (key) => ({ name: 'John Doe', email: 'john@example.com', id: Number(key.slice(5)), roles: ['reader', 'writer'], active: true })
const JSON_BODY = { 'content-type': 'application/json' }
const post = (path, body) => ({ method: 'POST', path, headers: JSON_BODY, body: JSON.stringify(body) })

/**
 * What is measured: the requests, the bare servers that Larder is held against (the first is 1.00), and, where it matters,
 * Larder under other settings.
 */
export const CASES = {
  get: {
    title: 'GET /api/cache/get/:key, a hit in memory',
    url: '/api/cache/get/:key',
    requests: KEYS.map((key) => ({ method: 'GET', path: `/api/cache/get/${key}` })),
    larder: { Larder: {}, 'Larder, access log on': { CACHE_ACCESS_LOG_ENABLED: 'true' } },
    bare: { 'bare Fastify, object through a schema': 'object', 'bare Fastify, ready text': 'text', 'bare Fastify, ioredis GET': 'redis' }
  },
  set: {
    title: 'POST /api/cache/set',
    url: '/api/cache/set',
    requests: KEYS.map((key) => post('/api/cache/set', { key, value: valueOf(key), ttl: 3600 })),
    larder: { Larder: {} },
    bare: { 'bare Fastify, checked body into a Map': 'set' }
  },
  batch: {
    title: 'POST /api/cache/get-batch of 100 keys',
    url: '/api/cache/get-batch',
    requests: [post('/api/cache/get-batch', KEYS.slice(0, 100))],
    larder: { Larder: {} },
    bare: { 'bare Fastify, objects through a schema': 'batch', 'bare Fastify, ready text': 'text' }
  },
  products: {
    title: 'GET /products, a hit of cache-aside',
    url: '/products',
    requests: [{ method: 'GET', path: '/products' }],
    larder: { Larder: {} },
    bare: { 'bare Fastify, objects through a schema': 'object', 'bare Fastify, ready text': 'text' }
  }
}

/** Seconds of load before anything counts: the compiler's. */
const WARM_UP = 2

export async function benchHttp (name, { folder, load, rounds, seconds }) {
  const { title, url, requests, larder, bare } = CASES[name]
  const [first] = requests
  const body = first.body === undefined ? undefined : JSON.parse(first.body)
  const subjects = []
  const notes = []
  let text
  for (const [label, settings] of Object.entries(larder)) {
    const server = await startLarder(folder, `${name}-${subjects.length}`, settings)
    text = await fill(server.url, first)
    subjects.push({ label, server, rates: [], costs: [] })
  }
  let redis
  for (const [label, kind] of Object.entries(bare)) {
    if (kind === 'redis') {
      redis = await startRedis(folder, text)
      if (redis === undefined) {
        notes.push('No redis-server on PATH: left out.')
        continue
      }
    }
    const server = await startServer('bare.mjs', { kind, method: first.method, url, text, body, redisUrl: redis?.url })
    subjects.push({ label, server, rates: [], costs: [] })
  }

  for (const { server } of subjects) await load.run(server.url, requests, WARM_UP)
  await inTurns(subjects, rounds, async ({ server, rates, costs }) => {
    const before = await server.cpu()
    const { requests: answered, seconds: taken } = await load.run(server.url, requests, seconds)
    costs.push((await server.cpu() - before) / answered)
    rates.push(answered / taken)
  })
  for (const { server } of subjects) await server.stop()
  await redis?.stop()

  const reference = subjects.find(({ label }) => label === Object.keys(bare)[0])
  printLoads(`${title} · ${text.length} bytes · ${load.name}, ${rounds} × ${seconds} s`, subjects, reference)
  for (const note of notes) console.log(note)
}

async function startLarder (folder, name, settings) {
  const environment = { DATA_DIR: join(folder, `data-${name}`), CACHE_ACCESS_LOG_ENABLED: 'false', RATE_LIMITS: '1000000/second', OVERLOAD_DELAY: '0', ...settings }
  return startServer('larder.mjs', environment, openSync(join(folder, `${name}.log`), 'a'))
}

/** Stores what will be read, and answers the text of the first request's answer. */
async function fill (url, { method, path, headers, body }) {
  const entries = KEYS.map((key) => ({ key, value: valueOf(key), ttl: 3600 }))
  await ask(url, post('/api/cache/set-batch', entries))
  await ask(url, { method, path, headers, body })
  return ask(url, { method, path, headers, body })
}

async function ask (url, { method, path, headers, body }) {
  const response = await fetch(url + path, { method, headers, body })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text}`)
  return text
}

/** A Redis of our own that has the text under every key; undefined when there is no redis-server. */
async function startRedis (folder, text) {
  const program = which('redis-server')
  if (program === undefined) return undefined
  const port = await freePort()
  // On the generator's core, which has time to spare: what is measured has its own to itself.
  const child = start(LOAD_CORE, program, ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder], { stdio: 'ignore' })
  const url = `redis://127.0.0.1:${port}`
  const client = new Redis(url, { retryStrategy: () => 50, maxRetriesPerRequest: 100 })
  client.on('error', () => {}) // until it listens
  await Promise.race([client.mset(KEYS.flatMap((key) => [key, text])), sleep(5000, undefined, { ref: false })])
  client.disconnect()
  return { url, stop: () => stop(child) }
}
