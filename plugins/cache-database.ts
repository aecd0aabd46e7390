import fp from 'fastify-plugin'
import pg from 'pg'
import type { Connections, NotifyingConnection } from '../services/cache/backends/database/connections.js'
import type {} from './postgres.js'
import type {} from './retry.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The way of the cache's `database` backend to PostgreSQL. */
    cacheDatabase: Connections
  }
}

export interface CacheDatabaseOptions {
  /** A server; undefined for the embedded database. */
  databaseUrl?: string | undefined
}

/** Statements of the cache that may run at once: what changes one cache runs one at a time in any case. */
const CONNECTIONS = 4
/** Milliseconds; the backend gives a statement up after as many. */
const DEADLINE = 1000

/**
 * Decorates the instance with `cacheDatabase`. A server gets connections of the cache's own, with limits of their own: neither do
 * requests for the cache keep others from the database, nor the reverse. The embedded database has one connection for all.
 */
export default fp<CacheDatabaseOptions>(async function cacheDatabase (app, { databaseUrl }) {
  if (databaseUrl === undefined) {
    const { pool } = app.pg
    app.decorate('cacheDatabase', { pool: { query: async (statement) => await pool.query(statement) }, concurrency: 1 })
    return
  }
  const options = {
    connectionString: databaseUrl,
    connectionTimeoutMillis: DEADLINE,
    query_timeout: DEADLINE,
    keepAlive: true,
    application_name: 'larder-cache'
  }
  const pool = new pg.Pool({ ...options, max: CONNECTIONS, statement_timeout: DEADLINE, idle_in_transaction_session_timeout: DEADLINE })
  // Unheard, the loss of an idle connection would end the process. Whoever uses one learns of it from the statement.
  pool.on('error', () => {})
  pool.on('connect', (client) => { client.on('error', () => {}) })
  app.addHook('onClose', async () => { await pool.end() })
  app.decorate('cacheDatabase', {
    pool: { query: async (statement) => await pool.query(statement) },
    concurrency: CONNECTIONS,
    retry: app.retries.of('postgres'),
    connect: async () => await notifying(new pg.Client(options))
  })
}, { name: 'cache-database', fastify: '5.x', dependencies: ['postgres', 'retry'] })

async function notifying (client: pg.Client): Promise<NotifyingConnection> {
  // Without a listener Node treats a lost connection as fatal; `end` follows.
  client.on('error', () => {})
  // It is given up, whatever became of it: whoever asked over it, and `onLost`, have been told.
  const close = (): void => { client.end().catch(() => {}) }
  try {
    await client.connect()
  } catch (error) {
    close()
    throw error
  }
  return {
    query: async (statement) => await client.query(statement),
    listen: async (channel) => await client.query(`LISTEN ${client.escapeIdentifier(channel)}`),
    onNotification: (hear) => { client.on('notification', ({ payload = '' }) => { hear(payload) }) },
    onLost: (lost) => {
      client.on('error', lost)
      client.on('end', lost)
    },
    close
  }
}
