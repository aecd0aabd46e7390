import fastifyRedis from '@fastify/redis'
import fp from 'fastify-plugin'
import { Redis } from 'ioredis'

export interface RedisPluginOptions {
  /** A `redis:` or `rediss:` URL. */
  url: string
  db?: number | undefined
  password?: string | undefined
  /** Whether the service is unhealthy without it. */
  required: boolean
}

/** How long a command may go without an answer, in milliseconds; the cache has a shorter deadline of its own. */
const DEADLINE = 1000
/** How long the start waits for Redis, in milliseconds; then the service runs without it until it comes. */
const START_PATIENCE = 2000

/**
 * Decorates the instance with `redis`, one connection for everything but subscriptions. A command fails at once while Redis is
 * away, and after the deadline when it hangs: the defaults of the client would queue it for as long as the outage lasts.
 */
export default fp<RedisPluginOptions>(async function redis (app, { url, db, password, required }) {
  const client = new Redis(url, {
    ...(db === undefined ? {} : { db }),
    ...(password === undefined ? {} : { password }),
    connectionName: 'larder',
    commandTimeout: DEADLINE,
    connectTimeout: START_PATIENCE,
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    enableAutoPipelining: true,
    retryStrategy: (times) => Math.min(times * 50, 500)
  })
  let isAway = false
  client.on('error', (error: Error) => {
    if (!isAway) app.log.warn({ error: error.message }, 'Redis is away: what needs it fails fast, the rest goes on without')
    isAway = true
  })
  client.on('ready', () => {
    if (isAway) app.log.info('Redis is back')
    isAway = false
  })
  app.addHook('onClose', async () => { client.disconnect() })
  await firstAnswer(client)

  // @fastify/redis waits for a client that is not ready, and fails the start when it does not become so; Redis may come later.
  const status = client.status
  const registered = status === 'ready' ? client : new Proxy(client, { get: (target, name) => name === 'status' ? 'ready' : Reflect.get(target, name) as unknown })
  await app.register(fastifyRedis, { client: registered, closeClient: false })
  app.health.add('redis', async () => await client.ping(), { required })
}, { name: 'redis', fastify: '5.x', dependencies: ['health'] })

async function firstAnswer (client: Redis): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  await new Promise<void>((resolve) => {
    timer = setTimeout(resolve, START_PATIENCE)
    client.once('ready', resolve)
    client.once('error', () => { resolve() })
  }).finally(() => { clearTimeout(timer) })
}
