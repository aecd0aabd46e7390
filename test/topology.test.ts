import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import t from 'tap'
import { parse } from 'yaml'
import { eventually } from './support/caches.js'
import { databaseUrl, startMemcached, startRedis } from './support/servers.js'

interface Service {
  image?: string
  build?: unknown
  user?: string
  command?: string[]
  environment?: Record<string, string>
  ports?: string[]
  volumes?: string[]
  healthcheck?: unknown
  mem_limit?: string
  cpus?: number
  depends_on?: Record<string, { condition: string }>
}
interface Compose { services: Record<string, Service>, volumes: Record<string, unknown> }

const root = fileURLToPath(new URL('..', import.meta.url))
const { services, volumes } = parse(readFileSync(`${root}docker-compose.yml`, 'utf8')) as Compose
const dockerfile = readFileSync(`${root}Dockerfile`, 'utf8')
const finalStage = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '))

/** `${NAME:-default}` as compose reads it with an empty environment. */
const interpolate = (text: string): string => text.replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1')

t.test('the compose file runs the application, its worker and its three servers', async (t) => {
  t.strictSame(Object.keys(services), ['app', 'worker', 'db', 'redis', 'memcached'])
  for (const [name, service] of Object.entries(services)) {
    t.ok(service.mem_limit, `${name} has a memory limit`)
    t.ok(service.cpus, `${name} has a processor limit`)
    if (name === 'app' || name === 'worker') continue
    t.ok(service.healthcheck, `${name} has a health check`)
    t.ok(service.user, `${name} does not run as root`)
    t.match(service.image, /:\d/, `${name} has an image of a known version`)
    t.equal(services.app?.depends_on?.[name]?.condition, 'service_healthy')
  }
  for (const { volumes: mounts = [] } of Object.values(services)) {
    for (const mount of mounts) t.hasProp(volumes, mount.split(':')[0] ?? '', `${mount} is declared`)
  }
})

t.test('only loopback can reach it, since it trusts every peer', async (t) => {
  t.equal(services.app?.environment?.ALLOW_UNAUTHENTICATED, 'true')
  const published = Object.values(services).flatMap(({ ports = [] }) => ports)
  t.strictSame(published.map(interpolate), ['127.0.0.1:8000:8000'])
})

t.test('the image runs Node itself, as another user than root, and checks its health', async (t) => {
  t.match(finalStage, '\nUSER node\n')
  t.match(finalStage, '\nCMD ["node", "dist/server.js"]')
  t.match(finalStage, '\nHEALTHCHECK ')
  t.match(finalStage, 'npm ci --omit=dev --ignore-scripts')
})

t.test('the build runs in the same topology, under the same settings', async (t) => {
  t.strictSame(services.redis?.command, ['valkey-server', '--appendonly', 'yes'])
  const [database, redis, memcached] = await Promise.all([databaseUrl(t), startRedis(t, { appendOnly: true }), startMemcached(t)])
  const { hostname, port, username, password, pathname } = new URL(database)
  const moved: Record<string, string> = {
    HOST: '127.0.0.1',
    PORT: '0',
    DB_HOST: hostname,
    DB_PORT: port || '5432',
    DB_NAME: pathname.slice(1),
    DB_USER: decodeURIComponent(username),
    DB_PASSWORD: decodeURIComponent(password) || 'unused',
    REDIS_URL: redis.url,
    MEMCACHED_URL: memcached.url
  }
  const given = services.app?.environment ?? {}
  t.strictSame(Object.keys(moved).filter((key) => !(key in given)), [], 'every setting that is moved stands in the compose file')
  t.testdir({ app: {}, worker: {} })
  const start = (name: 'app' | 'worker', entry: string) => {
    const { environment = {} } = services[name] ?? {}
    const settings = Object.entries(environment).map(([key, value]) => [key, interpolate(moved[key] ?? value)])
    const DATA_DIR = `${t.testdirName}/${name}`
    const child = spawn(process.execPath, [`${root}${entry}`], {
      cwd: DATA_DIR, env: { PATH: process.env.PATH, DATA_DIR, ...Object.fromEntries(settings) as Record<string, string> }, stdio: ['ignore', 'pipe', 'inherit']
    })
    const ended = once(child, 'exit')
    t.teardown(async () => {
      child.kill('SIGKILL')
      await ended
    })
    return { child, ended }
  }
  const { child: app, ended } = start('app', 'dist/server.js')
  let base = ''
  for await (const line of createInterface(app.stdout)) {
    base = /Larder listens at (http:[^" ]+)/.exec(line)?.[1] ?? ''
    if (base !== '') break
  }
  // The rest of the log has nowhere to go, and must not fill the pipe.
  app.stdout.resume()

  const ready = await fetch(`${base}/health/ready`)
  t.equal(ready.status, 200)
  t.match(await ready.json(), {
    status: 'ready', parts: { postgres: { status: 'up' }, redis: { status: 'up' }, memcached: { status: 'up' }, cache: { status: 'up' } }
  })
  const products = await (await fetch(`${base}/products`)).json() as { products: unknown[] }
  t.not(products.products.length, 0, 'the sample data is in the database')

  const { child: worker, ended: workerEnded } = start('worker', String(services.worker?.command?.at(-1)))
  worker.stdout.resume()
  await fetch(`${base}/api/posts/`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ title: 'For the worker' }) })
  await eventually(async () => {
    const { entries } = await (await fetch(`${base}/audit?action=post.created`)).json() as { entries: unknown[] }
    return entries.length === 1
  }, 'the worker writes the audit trail', 20_000)
  worker.kill('SIGTERM')
  t.strictSame(await workerEnded, [0, null])

  await fetch(`${base}/api/cache/set`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ key: 'kept', value: 1, backend: 'redis' })
  })
  await redis.restart()
  const client = new Redis(redis.url)
  t.teardown(() => { client.disconnect() })
  t.not(await client.dbsize(), 0, 'what is in Redis outlives it')

  app.kill('SIGTERM')
  t.strictSame(await ended, [0, null])
})
