import fp from 'fastify-plugin'
import type {} from './cache.js'
import type {} from './config-store.js'
import type {} from './health.js'

export interface CoherenceOptions {
  /** Whether other processes may use the same database. */
  shared: boolean
}

/**
 * Says when several processes serve from one database, and this one keeps for itself what its callers take for the cache: each would answer something else.
 * That cannot be refused, as the others may come later; it is a part of the health that nothing fails without, and a line in the log for each of them.
 */
export default fp<CoherenceOptions>(async function coherence (app, { shared }) {
  const { cache, caches, health, settingInstances: instances } = app
  const { defaultBackend } = caches
  const own = [
    ...defaultBackend === 'memory' || defaultBackend === 'file' ? [`entries of the API (CACHE_BACKEND=${defaultBackend})`] : [],
    ...cache.backend === 'memory' ? ['the application\'s own cache (no REDIS_URL)'] : []
  ]
  if (!shared || own.length === 0) return
  instances.onNeighbour(({ host, pid }) => {
    app.log.warn({ host, pid, own }, 'Another process serves from this database, and each keeps a cache of its own: callers get different answers from one and the other. ' +
      'Give all of them the same REDIS_URL and CACHE_BACKEND=redis, or serve with one')
  })
  health.add('coherence', () => {
    if (instances.neighbours.length > 0) throw new Error('Other processes serve from this database, with caches of their own.')
  }, { required: false })
}, { name: 'coherence', fastify: '5.x', dependencies: ['cache', 'config-store', 'health'] })
