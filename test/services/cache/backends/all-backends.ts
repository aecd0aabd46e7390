import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { buildApp } from '../../../../app.js'
import { loadConfig } from '../../../../config.js'
import { databaseUrl, memcachedUrl, redisUrl, type Owner } from '../../../support/servers.js'
import { UNLIMITED } from '../../../support/unlimited.js'

/** Services over real servers with every backend that there is; each one that is opened has the same servers and folder. */
export async function everyBackend (owner: Owner, env: Record<string, string> = {}): Promise<() => Promise<FastifyInstance>> {
  const DATA_DIR = mkdtempSync(join(tmpdir(), 'larder-'))
  owner.teardown(() => { rmSync(DATA_DIR, { recursive: true, force: true }) })
  const given = {
    DATABASE_URL: await databaseUrl(owner),
    REDIS_URL: await redisUrl(owner),
    MEMCACHED_URL: await memcachedUrl(owner),
    DATA_DIR,
    LOG_LEVEL: 'silent',
    CACHE_DEADLINE: '1000', // none of this is about outages
    CACHE_MAX_ITEMS: '100000',
    CACHE_MAX_MEMORY: String(2 ** 30),
    ...UNLIMITED,
    ...env
  }
  return async () => {
    const app = await buildApp(loadConfig(given))
    owner.teardown(() => app.close())
    await app.ready()
    return app
  }
}
