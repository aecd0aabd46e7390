import type { FastifyInstance } from 'fastify'
import audit from './audit.js'
import authz from './authz.js'
import cache, { type CacheRoutesOptions } from './cache.js'
import cacheAside from './cache-aside.js'
import breakers from './breakers.js'
import config, { type ConfigRoutesOptions } from './config.js'
import docs from './docs.js'
import events from './events.js'
import health from './health.js'
import home from './home.js'
import items from './items.js'
import keys from './keys.js'
import live from './live.js'
import metrics from './metrics.js'
import posts from './posts.js'
import problems from './problems.js'
import products from './products.js'
import recipes from './recipes.js'
import responseCache from './response-cache.js'
import users from './users.js'
import valet from './valet.js'
import webhooks from './webhooks.js'
import wellKnown from './well-known.js'

export interface RoutesOptions {
  environment: ConfigRoutesOptions['environment']
  cache: CacheRoutesOptions
}

/** The table of contents: which module answers under which prefix. */
export default async function routes (app: FastifyInstance, options: RoutesOptions): Promise<void> {
  await app.register(home)
  await app.register(health, { prefix: '/health' })
  await app.register(items, { prefix: '/items' })
  await app.register(products, { prefix: '/products' })
  await app.register(recipes, { prefix: '/recipes' })
  await app.register(cacheAside, { prefix: '/cache' })
  await app.register(users, { prefix: '/api/users' })
  await app.register(posts, { prefix: '/api/posts' })
  await app.register(responseCache)
  await app.register(cache, { prefix: '/api/cache', ...options.cache })
  await app.register(keys, { prefix: '/keys' })
  await app.register(valet, { prefix: '/valet' })
  await app.register(wellKnown, { prefix: '/.well-known' })
  await app.register(audit, { prefix: '/audit' })
  await app.register(authz, { prefix: '/authz' })
  await app.register(events, { prefix: '/events' })
  await app.register(webhooks, { prefix: '/webhooks' })
  await app.register(config, { prefix: '/config', environment: options.environment })
  await app.register(breakers, { prefix: '/admin/breakers' })
  await app.register(metrics, { prefix: '/metrics' })
  await app.register(live, { prefix: '/metrics/live' })
  await app.register(docs)
  await app.register(problems, { prefix: '/problems' })
}
