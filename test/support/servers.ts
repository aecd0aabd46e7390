/**
 * Real servers for tests. `npm test` starts one of each before the first test file; a file that is run alone
 * (`npx tap test/some.test.ts`) starts what it asks for. Everything is ended through the teardown of the test given.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { Redis } from 'ioredis'
import pg from 'pg'
import t from 'tap'
import { busPort, startMemcached as launchMemcached, startPrometheus as launchPrometheus, startPostgres as launchPostgres, startRedis as launchRedis, startSentinel as launchSentinel } from '../../tools/servers/launch.js'
import type { RedisOptions, Startable } from '../../tools/servers/launch.js'
import { addressVariables, locate, type ServerName, type SharedServerName } from '../../tools/servers/locate.js'
import { machine } from '../../tools/servers/machine.js'
import type { ServerProcess } from '../../tools/servers/server-process.js'

export { freePort } from '../../tools/servers/server-process.js'
export type { RedisOptions } from '../../tools/servers/launch.js'
export type { ServerProcess } from '../../tools/servers/server-process.js'

/** The part of a tap test that is used here. */
export interface Owner {
  teardown (handler: () => unknown): unknown
}

/** Set by `npm test` beside the addresses: they belong to this run, and to nobody else. */
export const startedHere = 'TEST_SERVERS_STARTED_HERE'

/**
 * URL of a new, empty PostgreSQL database, dropped when the test ends. Connections that are being closed then have a second
 * to be gone; those that stay longer are cut.
 */
export async function databaseUrl (owner: Owner): Promise<string> {
  const server = await sharedUrl('postgres')
  const name = `larder_test_${randomUUID().replaceAll('-', '')}`
  await administer(server, (client) => client.query(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8'`))
  owner.teardown(() => administer(server, (client) => drop(client, name)))
  const url = new URL(server)
  url.pathname = `/${name}`
  return url.href
}

/**
 * URL of a Redis that nobody else uses: a new server, since channels and scripts are shared by all databases of one.
 * With an address given in TEST_REDIS_URL it is that one, its database emptied first and again at the end.
 */
export async function redisUrl (owner: Owner): Promise<string> {
  const given = givenUrl('redis')
  if (given === undefined) return (await startRedis(owner)).url
  await flush(given)
  owner.teardown(() => flush(given))
  return given
}

/** URL of a memcached that nobody else uses; the one in TEST_MEMCACHED_URL where that is given. */
export async function memcachedUrl (owner: Owner): Promise<string> {
  return givenUrl('memcached') ?? (await startMemcached(owner)).url
}

/**
 * URL of the server that all test files share, for tests that keep to keys and channels of their own.
 * PostgreSQL's is the address of its maintenance database: create nothing there.
 */
export async function sharedUrl (name: SharedServerName): Promise<string> {
  const url = process.env[addressVariables[name]]
  if (url) return url
  let starting = shared.get(name)
  if (!starting) {
    starting = launchers[name](t)
    shared.set(name, starting)
  }
  return (await starting).url
}

/** A PostgreSQL cluster of its own, to be stopped, paused and killed. Takes half a second: most tests want `databaseUrl`. */
export async function startPostgres (owner: Owner): Promise<ServerProcess> {
  return owned(owner, await launchPostgres(await startable('postgres')))
}

/** A Redis of its own, to be stopped, paused and killed. */
export async function startRedis (owner: Owner, options?: RedisOptions): Promise<ServerProcess> {
  return owned(owner, await launchRedis(await startable('redis'), options))
}

/** A Redis Cluster of its own: masters with a third of the slots each, and a replica of each of them. */
export async function startRedisCluster (owner: Owner): Promise<{ url: string, nodes: ServerProcess[], masterOf (key: string): Promise<ServerProcess> }> {
  const nodes = await Promise.all(Array.from({ length: 6 }, async () => await startRedis(owner, { clusterNode: true })))
  const clients = nodes.map(({ url }) => new Redis(url))
  const [first] = clients as [Redis]
  const ask = async (client: Redis, ...words: (string | number)[]) => await client.call('CLUSTER', ...words.map(String))
  try {
    await Promise.all(clients.map(async (client, at) => await ask(client, 'SET-CONFIG-EPOCH', at + 1)))
    for (const { port } of nodes.slice(1)) await ask(first, 'MEET', '127.0.0.1', port, busPort(port))
    for (const [at, [from, to]] of ([[0, 5460], [5461, 10922], [10923, 16383]] as const).entries()) await ask(clients[at] as Redis, 'ADDSLOTSRANGE', from, to)
    await agreed(clients, (info) => info.includes('cluster_known_nodes:6'))
    const ids = await Promise.all(clients.map(async (client) => String(await ask(client, 'MYID'))))
    for (const at of [0, 1, 2]) await ask(clients[at + 3] as Redis, 'REPLICATE', ids[at] as string)
    await agreed(clients, (info) => info.includes('cluster_state:ok'))
    await agreed(clients.slice(3), (info) => info.includes('master_link_status:up'), async (client) => await client.info('replication'))
  } finally {
    for (const client of clients) client.disconnect()
  }
  return {
    url: nodes.map(({ url }) => url).join(','),
    nodes,
    masterOf: async (key) => {
      const client = new Redis(nodes.find(({ pid }) => pid !== undefined)!.url)
      try {
        const slot = Number(await ask(client, 'KEYSLOT', key))
        const ranges = await ask(client, 'SLOTS') as [number, number, [string, number]][]
        const port = ranges.find(([from, to]) => slot >= from && slot <= to)?.[2][1]
        return nodes.find((node) => node.port === port)!
      } finally {
        client.disconnect()
      }
    }
  }
}

/** A master with a replica, and a sentinel that makes the one the other when it dies. */
export async function startRedisSentinel (owner: Owner): Promise<{ url: string, master: ServerProcess, replica: ServerProcess }> {
  const master = await startRedis(owner)
  const replica = await startRedis(owner, { args: ['--replicaof', '127.0.0.1', `${master.port}`] })
  const sentinel = owned(owner, await launchSentinel(await startable('redis'), master.port))
  const clients = [new Redis(replica.url), new Redis(sentinel.url)] as const
  try {
    await agreed([clients[0]], (info) => info.includes('master_link_status:up'), async (client) => await client.info('replication'))
    await agreed([clients[1]], (info) => info.includes('slaves=1'), async (client) => await client.info('sentinel'))
  } finally {
    for (const client of clients) client.disconnect()
  }
  return { url: `redis+sentinel://127.0.0.1:${sentinel.port}/mymaster`, master, replica }
}

/** Resolves when it holds of what each of them says. */
async function agreed (
  clients: readonly Redis[], holds: (info: string) => boolean, ask = async (client: Redis) => String(await client.call('CLUSTER', 'INFO'))
): Promise<void> {
  const until = performance.now() + 30_000
  for (const client of clients) {
    for (let info = await ask(client); !holds(info); info = await ask(client)) {
      if (performance.now() > until) throw new Error(`The servers do not agree: ${info}`)
      await setTimeout(20)
    }
  }
}

/** A memcached of its own, to be stopped, paused and killed. */
export async function startMemcached (owner: Owner, args: string[] = []): Promise<ServerProcess> {
  return owned(owner, await launchMemcached(await startable('memcached'), args))
}

/** A Prometheus of its own. @param files its configuration, `prometheus.yml`, and what that names beside it */
export async function startPrometheus (owner: Owner, files: Readonly<Record<string, string>>): Promise<ServerProcess> {
  return owned(owner, await launchPrometheus(await startable('prometheus'), files))
}

const launchers = {
  postgres: startPostgres,
  redis: async (owner: Owner) => await startRedis(owner),
  memcached: async (owner: Owner) => await startMemcached(owner)
}
const shared = new Map<SharedServerName, Promise<ServerProcess>>()

/** An address somebody gave, as against one of `npm test`'s own servers. */
function givenUrl (name: SharedServerName): string | undefined {
  return process.env[startedHere]?.split(' ').includes(name) ? undefined : process.env[addressVariables[name]] || undefined
}

/** Where to start a server from, given address or not: a server of one's own can be had from programs and images alone. */
async function startable (name: ServerName): Promise<Startable> {
  const location = (await locate([name], { ...machine, env: {} }))[name]
  if (location.kind === 'address') throw new Error(`No address was to be taken for ${name}`)
  return location
}

function owned (owner: Owner, server: ServerProcess): ServerProcess {
  owner.teardown(() => server.dispose())
  return server
}

async function administer (url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}

/** `pool.end()` resolves before the server has noticed: cutting these connections would be an error in the test that ended well. */
async function drop (client: pg.Client, name: string): Promise<void> {
  const patience = performance.now() + 1000
  const connected = async () => (await client.query('SELECT FROM pg_stat_activity WHERE datname = $1', [name])).rowCount !== 0
  while (await connected() && performance.now() < patience) await setTimeout(10)
  await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
}

async function flush (url: string): Promise<void> {
  const redis = new Redis(url, { maxRetriesPerRequest: 1, lazyConnect: true })
  try {
    await redis.flushdb()
  } finally {
    redis.disconnect()
  }
}
