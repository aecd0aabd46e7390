import { setTimeout as delay } from 'node:timers/promises'
import fastifyPostgres from '@fastify/postgres'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { PoolClient, PoolConfig } from 'pg'
import { breakerLevel } from '../services/cache/breaker.js'
import { Database, type DatabaseOptions } from '../services/database.js'
import { beginLife } from '../services/database/commit.js'
import { openEmbedded } from '../services/database/embedded.js'
import { embeddedPg } from '../services/database/embedded-pool.js'
import { migrate, type MigrationOptions } from '../services/database/migrations.js'
import type { Sample } from '../services/metrics.js'
import type {} from './metrics.js'
import type {} from './retry.js'

declare module 'fastify' {
  interface FastifyInstance {
    database: Database
  }
}

export interface PostgresOptions {
  /** A server; undefined runs the embedded database. */
  databaseUrl?: string | undefined
  /** Folder of the embedded database. */
  dataDir: string
  /** undefined: only into a new embedded database. */
  sampleData?: boolean | undefined
}

/** Milliseconds that a server may take to come up before the start is given up. */
const START_PATIENCE = 6_000

/** Connections to a server; the embedded database has one. */
const CONNECTIONS = 10
/** Callers that may wait for one of them, and for how many milliseconds. */
const WAITING = 1000
const PATIENCE = 3_000
const EMBEDDED_PATIENCE = 5_000

/** Limits for requests, in milliseconds: nobody waits for a server that is full, locked, slow or hung. */
const serverLimits = {
  max: CONNECTIONS,
  connectionTimeoutMillis: PATIENCE,
  idleTimeoutMillis: 30_000,
  lock_timeout: 3_000,
  statement_timeout: 5_000,
  // The client's own, for a server that has stopped answering altogether.
  query_timeout: 6_000,
  idle_in_transaction_session_timeout: 10_000,
  keepAlive: true,
  application_name: 'larder'
} satisfies PoolConfig

/**
 * The database as `app.database`, with its tables up to date, and the pool under it as `app.pg` (see `@fastify/postgres`):
 * a server at `databaseUrl`, or the embedded PostgreSQL in `dataDir`.
 */
export default fp<PostgresOptions>(async function postgres (app, { databaseUrl, dataDir, sampleData }) {
  await (databaseUrl === undefined ? useEmbedded(app, dataDir, sampleData) : useServer(app, databaseUrl, sampleData))
  const database = new Database(app.pg.pool, {
    waiting: WAITING,
    retry: app.retries.of('postgres'),
    // Nothing lies between this process and the embedded database that could be lost.
    ...databaseUrl === undefined ? { connections: 1, patience: EMBEDDED_PATIENCE } : { connections: CONNECTIONS, patience: PATIENCE, findsCommits: true }
  } satisfies DatabaseOptions)
  app.decorate('database', database)
  app.breakers.add('postgres', database.switch)
  app.health.add('postgres', () => database.ping())
  app.metrics.addCollector(() => samples(database))
}, { name: 'postgres', fastify: '5.x', dependencies: ['health', 'metrics', 'retry'] })

function samples (database: Database): Sample[] {
  const { used, waiting, limit } = database.connections
  const gauge = (name: string, help: string, value: number, labels: Record<string, string> = {}): Sample => ({ name, help, type: 'gauge', labels, value })
  return [
    gauge('larder_breaker_state', 'Whether a server is left alone: 0 closed (it answers), 1 half-open, 2 open', breakerLevel(database.breaker), { name: 'postgres' }),
    gauge('larder_database_connections_used', 'Connections to PostgreSQL that are in use', used),
    gauge('larder_database_connections_limit', 'Connections to PostgreSQL that may be used at once just now', limit),
    gauge('larder_database_waiting', 'Callers that wait for a connection to PostgreSQL', waiting),
    ...Object.entries(database.lostCommits).map(([outcome, value]): Sample => ({
      name: 'larder_database_lost_commits_total', help: 'Commits whose answer was lost, by what was found out about them', type: 'counter', labels: { outcome }, value
    }))
  ]
}

async function useEmbedded (app: FastifyInstance, dataDir: string, sampleData = true): Promise<void> {
  const embedded = await openEmbedded(dataDir)
  try {
    await app.register(fastifyPostgres, { pg: embeddedPg(embedded.db, () => embedded.close()) })
    await migrateWith(app, await app.pg.pool.connect(), { sampleData: sampleData ? 'fresh' : 'never' })
  } catch (error) {
    // Nobody closes an app that failed to start: the folder must not stay locked.
    await embedded.close()
    throw error
  }
}

async function useServer (app: FastifyInstance, connectionString: string, sampleData = false): Promise<void> {
  await app.register(fastifyPostgres, { connectionString, ...serverLimits })
  const { pool } = app.pg
  // Unheard, the loss of an idle connection would end the process. Whoever uses one learns of it from the statement.
  const heard = (error: Error): void => { app.log.warn({ reason: error.message }, 'A connection to PostgreSQL was lost') }
  pool.on('error', heard)
  pool.on('connect', (client) => { client.on('error', () => {}) })
  await migrateWith(app, await firstConnection(app, connectionString), { sampleData: sampleData ? 'always' : 'never' })
  await beginLife(pool)
}

/** The server may still be starting, or restarting: it is asked again for a few seconds. */
async function firstConnection (app: FastifyInstance, connectionString: string): Promise<PoolClient> {
  const end = Date.now() + START_PATIENCE
  for (let wait = 100; ; wait *= 2) {
    try {
      return await app.pg.pool.connect()
    } catch (error) {
      const { code, message } = error as Error & { code?: string }
      // A wrong name, password or database does not get right by waiting.
      const isFinal = code !== undefined && /^(28|3D|42)/.test(code)
      if (isFinal || Date.now() + wait > end) {
        const reason = message || code || 'no answer'
        throw new Error(`PostgreSQL at ${new URL(connectionString).host} cannot be used (${reason}): check DATABASE_URL, and that the server runs.`, { cause: error })
      }
      await delay(wait)
    }
  }
}

async function migrateWith (app: FastifyInstance, client: PoolClient, options: MigrationOptions): Promise<void> {
  try {
    const versions = await migrate(client, options)
    if (versions.length > 0) app.log.info({ versions }, 'Migrated the database')
  } finally {
    client.release()
  }
}
