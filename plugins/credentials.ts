import fp from 'fastify-plugin'
import { CredentialStore } from '../services/access/credential-store.js'
import { Subscriber } from '../services/cache/backends/redis/subscriber.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** What credentials are checked against: the stored ones load through it. */
    credentials: CredentialStore
  }
}

export interface CredentialsOptions {
  /** Whether other processes may use the same database. */
  shared: boolean
}

/** A message on it means: look at the database now. */
const CHANNEL = 'larder:credentials'
/** How often the subscription is asked for again, in milliseconds: it may have been refused, or its server replaced. */
const PROOF_INTERVAL = 5000

/** Decorates the instance with `credentials`. Redis, where there is one, makes changes known sooner, and may be away. */
export default fp<CredentialsOptions>(async function credentials (app, { shared }) {
  const { redis } = app as { redis?: typeof app.redis }
  const heard = shared && redis !== undefined
  const store = new CredentialStore({
    database: app.database,
    shared,
    log: app.log,
    ...(heard && { announce: async () => await redis.publish(CHANNEL, '') })
  })
  app.decorate('credentials', store)
  app.addHook('onClose', async () => { await store.close() })
  await store.refresh()
  if (!heard) return

  const subscriber = new Subscriber(redis, CHANNEL)
  subscriber.listen(() => { store.wake() }, () => {})
  const prove = (): void => { subscriber.prove().catch(() => {}) } // until it succeeds the store looks by itself
  await subscriber.connected()
  prove()
  const timer = setInterval(prove, PROOF_INTERVAL).unref()
  app.addHook('onClose', async () => {
    clearInterval(timer)
    subscriber.close()
  })
}, { name: 'credentials', fastify: '5.x', dependencies: ['postgres'] })
