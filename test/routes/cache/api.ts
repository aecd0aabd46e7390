import type { FastifyInstance, InjectOptions } from 'fastify'
import type { CacheConfig, CacheKeysReply, CachePreview, CacheQuota, CacheStatisticsReply } from '../../../schemas/cache-administration.js'
import type { CacheEntryProblem, CacheGetBatchTotals, CacheSetBatchReply } from '../../../schemas/cache-batches.js'
import type { CacheItem, CacheSetReply, CacheTouchReply } from '../../../schemas/cache.js'
import type { Problem } from '../../../schemas/common.js'
import { buildApp } from '../../../app.js'
import { loadConfig } from '../../../config.js'
import { databaseUrl, redisUrl, type Owner } from '../../support/servers.js'
import { temporaryFolder } from '../../support/temporary-folder.js'
import { UNLIMITED } from '../../support/unlimited.js'

/** Whatever some answer has; a test reads what the answer at hand should have. */
export type Body = Problem & CacheSetReply & CacheTouchReply & CacheKeysReply & CacheStatisticsReply & CacheGetBatchTotals & Omit<CacheSetBatchReply, 'results'> & {
  exists: boolean
  value: unknown
  cache_item: CacheItem
  deleted_count: number
  stale: boolean
  stale_count: number
  lease: { token: string, expires_in: number }
  preview: CachePreview
  tags: string[]
  pattern: string | null
  backends: Record<string, CacheConfig>
  quota: CacheQuota | null
  results: Array<{ key: string | null, success: boolean, result: CacheSetReply & { found: boolean, cache_item: CacheItem }, error: CacheEntryProblem }>
}

/** An answer, with its JSON read. */
export interface Answer {
  status: number
  headers: Record<string, string | string[] | number | undefined>
  body: Body
  text: string
}

/** The complete service, over a database and a Redis of its own. Without Redis when `env` says so. */
export async function startApp (owner: Owner, env: Record<string, string> = {}): Promise<FastifyInstance> {
  const given: Record<string, string> = {
    DATABASE_URL: await databaseUrl(owner), DATA_DIR: temporaryFolder(owner), LOG_LEVEL: 'silent', CACHE_ACCESS_LOG_ENABLED: 'false', CACHE_DEADLINE: '1000', ...UNLIMITED, ...env
  }
  given['REDIS_URL'] ??= await redisUrl(owner)
  if (given['REDIS_URL'] === '') delete given['REDIS_URL']
  const app = await buildApp(loadConfig(given))
  owner.teardown(() => app.close())
  await app.ready()
  return app
}

let spaces = 0

/** Calls the cache API of one backend, in a namespace of its own. */
export class Api {
  readonly app: FastifyInstance
  readonly backend: string
  readonly namespace: string

  constructor (app: FastifyInstance, backend: string, namespace = `test-${++spaces}`) {
    this.app = app
    this.backend = backend
    this.namespace = namespace
  }

  get (path: string, query: Record<string, string | number> = {}, headers: InjectOptions['headers'] = {}): Promise<Answer> {
    return this.#send({ method: 'GET', url: path, query, headers })
  }

  delete (path: string, query: Record<string, string | number> = {}, headers: InjectOptions['headers'] = {}): Promise<Answer> {
    return this.#send({ method: 'DELETE', url: path, query, headers })
  }

  post (path: string, payload?: unknown, query: Record<string, string | number> = {}, headers: InjectOptions['headers'] = {}): Promise<Answer> {
    return this.#send({
      method: 'POST',
      url: path,
      query,
      headers: payload === undefined ? headers : { 'content-type': 'application/json', ...headers },
      ...(payload === undefined ? {} : { payload: typeof payload === 'string' ? payload : JSON.stringify(payload) })
    })
  }

  set (key: string, value: unknown, more: object = {}, headers: InjectOptions['headers'] = {}): Promise<Answer> {
    return this.post('/set', { key, value, ...more }, {}, headers)
  }

  read (key: string, headers: InjectOptions['headers'] = {}): Promise<Answer> {
    return this.get(`/get/${encodeURIComponent(key)}`, {}, headers)
  }

  async #send ({ url, query, ...options }: Omit<InjectOptions, 'query'> & { url: string, query: Record<string, string | number> }): Promise<Answer> {
    const all = new URLSearchParams({ backend: this.backend, namespace: this.namespace })
    // There the namespace named is the one that a quota is for.
    if (url === '/config' && this.namespace === 'default') all.delete('namespace')
    for (const [name, value] of Object.entries(query)) all.set(name, String(value))
    const response = await this.app.inject({ ...options, url: `/api/cache${url}?${all.toString()}` })
    const isJson = /[/+]json/.test(String(response.headers['content-type']))
    return { status: response.statusCode, headers: response.headers, text: response.body, body: (isJson ? JSON.parse(response.body) : {}) as Body }
  }
}
