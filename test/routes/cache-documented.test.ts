import t from 'tap'
import AjvCompiler from '@fastify/ajv-compiler'
import Fastify from 'fastify'
import { addComponents } from '../../plugins/components.js'
import { CacheGetBatchReply } from '../../schemas/cache-batches.js'
import { CacheGetReply } from '../../schemas/cache.js'
import { ref } from '../../schemas/common.js'
import { Api, startApp } from './cache/api.js'

const ADMINISTRATOR = 'the-administrators-own-key'
// What the examples name is allowed, and nobody is there to send anything.
const app = await startApp(t, { REDIS_URL: '', CACHE_API_KEY: ADMINISTRATOR, SAMPLE_DATA: 'true', WEBHOOK_HOSTS: 'hooks.example.com', WORKER: 'false' })
const cache = new Api(app, 'memory')

interface Tried {
  operationId: string
  parameters?: Array<{ in: string, name: string, example?: unknown, schema?: { examples?: unknown[], default?: unknown } }>
  requestBody?: { content: Record<string, { example?: object }> }
  responses: Record<string, { content?: Record<string, unknown> }>
}

/** Answers that are put together from text pass no serialiser that would hold them to their schema. */
function faultsIn (schema: Parameters<typeof ref>[0], answer: unknown): unknown {
  const holder = Fastify()
  const named = ref(schema)
  addComponents(holder, { schema: named })
  const compile = AjvCompiler()(holder.getSchemas() as never, { customOptions: { coerceTypes: false, removeAdditional: false } })
  const validate = compile({ schema: named, method: '', url: '', httpPart: 'body' }) as ((data: unknown) => boolean) & { errors?: unknown }
  return validate(answer) ? undefined : validate.errors
}

void t.test('answers made from text are as documented', async (t) => {
  await cache.set('a', { b: 'é' }, { ttl: 1.5, metadata: { tags: ['x'], 'a"b': '\u2028' } })
  await cache.set('b"\\', null, { ttl: 0 })
  for (const key of ['a', 'b"\\', 'c']) t.equal(faultsIn(CacheGetReply, (await cache.read(key)).body), undefined, key)
  t.equal(faultsIn(CacheGetBatchReply, (await cache.post('/get-batch', ['a', 'b"\\', 'c', '', 5])).body), undefined)
  t.ok(faultsIn(CacheGetReply, { success: true, found: true }), 'and a wrong one would be noticed')
})

void t.test('an operation that is tried with the examples of its documentation succeeds, unless they name what is not there, or a condition is asked for', async (t) => {
  const { paths } = (await app.inject('/openapi.json')).json<{ paths: Record<string, Record<string, Tried>> }>()
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, { operationId, parameters = [], requestBody, responses }] of Object.entries(operations)) {
      // A stream has no end that could be waited for.
      if (responses[200]?.content?.['text/event-stream'] !== undefined) continue
      // As Swagger UI fills its form.
      const filled = parameters.map(({ in: place, name, example, schema }) => ({ place, name, value: example ?? schema?.examples?.[0] ?? schema?.default }))
        .filter(({ value }) => value !== undefined)
      const of = (place: string) => Object.fromEntries(filled.filter((one) => one.place === place).map(({ name, value }) => [name, String(value)]))
      const url = Object.entries(of('path')).reduce((url, [name, value]) => url.replace(`{${name}}`, encodeURIComponent(value)), path)
      const payload = requestBody?.content['application/json']?.example
      const { statusCode } = await app.inject({
        method: method.toUpperCase() as 'GET', url, query: of('query'), headers: { 'x-api-key': ADMINISTRATOR, ...of('header') }, ...(payload === undefined ? {} : { payload })
      })
      t.ok(statusCode < 300 || [404, 412, 428].includes(statusCode), `${operationId} answers ${statusCode}`)
    }
  }
})

void t.test('every operation is in the document under its own name', async (t) => {
  const document = (await app.inject('/openapi.json')).json<{ paths: Record<string, Record<string, { operationId: string }>> }>()
  const names = Object.entries(document.paths).filter(([path]) => path.startsWith('/api/cache/'))
    .flatMap(([path, operations]) => Object.entries(operations).map(([method, { operationId }]) => `${method} ${path.slice('/api/cache'.length)} ${operationId}`))
  t.strictSame(names.sort(), [
    'delete /delete/{key} deleteCacheEntry',
    'get /analytics getCacheAnalytics',
    'get /config getCacheConfig',
    'get /exists/{key} cacheEntryExists', 'get /export exportCache',
    'get /get/{key} getCacheEntry',
    'get /keys listCacheKeys',
    'get /stats getCacheStatistics',
    'post /clear clearCache',
    'post /config changeCacheConfig',
    'post /delete-batch deleteCacheEntries',
    'post /get-batch getCacheEntries', 'post /import importCache',
    'post /increment incrementCacheEntry',
    'post /invalidate invalidateCache',
    'post /set setCacheEntry',
    'post /set-batch setCacheEntries',
    'post /touch touchCacheEntry',
    'post /warm warmCache'
  ])
})
