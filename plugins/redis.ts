import fastifyRedis from '@fastify/redis'
import type { FastifyBaseLogger } from 'fastify'
import fp from 'fastify-plugin'
import { Cluster, Redis } from 'ioredis'
import type { RedisNodes } from '../config/servers.js'

export interface RedisPluginOptions {
  /** A `redis:` or `rediss:` URL; of no account where there are several servers. */
  url: string
  db?: number | undefined
  username?: string | undefined
  password?: string | undefined
  /** The servers of a cluster, or sentinels. */
  several?: RedisNodes | undefined
  /** Whether the service is unhealthy without it. */
  required: boolean
}

/** How long a command may go without an answer, in milliseconds; the cache has a shorter deadline of its own. */
const DEADLINE = 1000
/** How long the start waits for Redis, in milliseconds; then the service runs without it until it comes. */
const START_PATIENCE = 2000
/** How often a cluster is asked again, in milliseconds, while one of its masters is replaced, and how often at most for a command. */
const FAIL_OVER_PAUSE = 50
const REDIRECTIONS = 4

/**
 * Decorates the instance with `redis`, one connection (to each server of a cluster) for everything but subscriptions. A command
 * fails at once while Redis is away, and after the deadline when it hangs: the defaults of the client would queue it for as long as
 * the outage lasts.
 */
export default fp<RedisPluginOptions>(async function redis (app, { required, ...address }) {
  const client = connect(address)
  let isAway = false
  client.on('error', (error: Error) => {
    if (!isAway) app.log.warn({ error: error.message }, 'Redis is away: what needs it fails fast, the rest goes on without')
    isAway = true
  })
  client.on('ready', () => {
    if (isAway) app.log.info('Redis is back')
    isAway = false
    warnOfPolicy(client, app.log).catch((err: unknown) => { app.log.debug({ err }, 'the maxmemory-policy of Redis is not known') })
  })
  let isClosing = false
  const resume = keepConnecting(client, () => !isClosing, app.log)
  app.addHook('onClose', async () => {
    isClosing = true
    clearTimeout(resume.timer)
    client.disconnect()
  })
  await firstAnswer(client)

  // @fastify/redis waits for a client that is not ready, and fails the start when it does not become so; Redis may come later.
  const status = client.status
  const registered = status === 'ready' ? client : new Proxy(client, { get: (target, name) => name === 'status' ? 'ready' : Reflect.get(target, name) as unknown })
  await app.register(fastifyRedis, { client: registered, closeClient: false })
  app.health.add('redis', async () => await client.ping(), { required })
}, { name: 'redis', fastify: '5.x', dependencies: ['health'] })

/**
 * Begins again where the client has given up for good: it does when a sentinel tells of a new master while it is about to connect, since
 * what ends the old connection then ends the new one.
 */
function keepConnecting (client: Redis | Cluster, isWanted: () => boolean, log: FastifyBaseLogger): { timer: NodeJS.Timeout | undefined } {
  const resume: { timer: NodeJS.Timeout | undefined } = { timer: undefined }
  client.on('end', () => {
    if (!isWanted()) return
    resume.timer = setTimeout(() => {
      client.connect().catch((err: unknown) => { log.debug({ err }, 'Redis could not be connected to: tried again') })
    }, FAIL_OVER_PAUSE).unref()
  })
  return resume
}

function connect ({ url, db, username, password, several }: Omit<RedisPluginOptions, 'required'>): Redis | Cluster {
  // At first soon: most connections are lost while the server is there, and who waits for another has a short deadline. Not all processes at once.
  const retryStrategy = (times: number): number => Math.min(times * 25, 500) * (0.5 + Math.random() / 2)
  const options = {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(several?.tls === true ? { tls: {} } : {}),
    connectionName: 'larder',
    commandTimeout: DEADLINE,
    connectTimeout: START_PATIENCE,
    // What was on its way fails with its connection. Whether it is tried again is for those to say who sent it.
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false
  }
  if (several !== undefined && several.master === undefined) {
    return new Cluster(several.nodes, {
      redisOptions: options,
      enableOfflineQueue: false,
      enableAutoPipelining: true,
      clusterRetryStrategy: retryStrategy,
      // Long enough for a hiccup; the wait for a fail-over is not a caller's to make.
      maxRedirections: REDIRECTIONS,
      // What was on its way to a server that is lost may have been done, and is for those who sent it.
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
      retryDelayOnTryAgain: FAIL_OVER_PAUSE,
      slotsRefreshTimeout: DEADLINE,
      slotsRefreshInterval: DEADLINE,
      // A certificate may be for the addresses that the cluster names.
      ...(several.tls ? { dnsLookup: (host: string, found: (error: null, address: string) => void) => { found(null, host) } } : {})
    })
  }
  const single = {
    ...options,
    ...(db === undefined ? {} : { db }),
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    retryStrategy,
    // What was a master may be a replica now: a new connection finds out.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY')
  }
  if (several === undefined) return new Redis(url, single)
  return new Redis({
    ...single,
    sentinels: several.nodes,
    name: several.master,
    ...(several.sentinelPassword === undefined ? {} : { sentinelPassword: several.sentinelPassword }),
    ...(several.tls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {}),
    sentinelRetryStrategy: retryStrategy,
    failoverDetector: true
  })
}

/** Redis may evict what it likes under such a policy; a cache that has lost its record of invalidations is void as a whole. */
async function warnOfPolicy (client: Redis | Cluster, log: FastifyBaseLogger): Promise<void> {
  const policy = /^maxmemory_policy:(allkeys-\S+)/m.exec(await client.info('memory'))?.[1]
  if (policy === undefined) return
  log.warn(`Redis has the maxmemory-policy ${policy}, under which it may evict the record of invalidations: everything cached would be void then. Set volatile-lru, volatile-lfu, volatile-ttl or noeviction.`)
}

async function firstAnswer (client: Redis | Cluster): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  await new Promise<void>((resolve) => {
    timer = setTimeout(resolve, START_PATIENCE)
    client.once('ready', resolve)
    client.once('error', () => { resolve() })
  }).finally(() => { clearTimeout(timer) })
}
