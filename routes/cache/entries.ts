import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import type {} from '../../plugins/deadlines.js'
import {
  CacheDeleteReply, CacheExistsReply, CacheGetReply, CacheIncrement, CacheIncrementReply, CacheKeyParams, CacheQuery,
  CacheReadQuery, CacheSetReply, CacheTouch, CacheTouchReply, NewCacheEntry, ReadConditions, WriteConditions
} from '../../schemas/cache.js'
import { problems, ref } from '../../schemas/common.js'
import { checkKeyAccess } from '../../services/access/access.js'
import { type Principal, seesAll, seesKey } from '../../services/access/principal.js'
import { secondsLeft } from '../../services/cache-item.js'
import type { Condition, Entry } from '../../services/cache/entry.js'
import type { MaybePromise } from '../../services/cache/stores/store.js'
import { InvalidInputError } from '../../services/errors.js'
import { checkKey } from '../../services/names.js'
import { toNewEntry } from '../../services/new-entry.js'
import { entityTag, parsePreconditions, writeIf } from '../../services/preconditions.js'
import type { CacheRoutesOptions } from '../cache.js'
import { NO_CACHE, sendEntry, sendLeased, setReply } from './answers.js'
import { agree, cacheOf, DEFAULT_NAMESPACE } from './place.js'
import { frugalValidators } from './validation.js'

const tags = ['Cache']

/** Entries one by one. */
const entries: FastifyPluginAsyncTypebox<CacheRoutesOptions> = async (app, { maxKeyLength }) => {
  const { caches } = app

  app.post('/set', {
    config: { scope: 'cache:write', touches: 'handler' },
    schema: {
      operationId: 'setCacheEntry',
      summary: 'Store an entry',
      description: 'Stores a value under a key, over whatever was there. `If-None-Match: *` stores only where nothing is, ' +
        '`If-Match: "version"` only over that version. With the token of a `lease` it stores only while nothing has happened to the key ' +
        'since the lease was given. Whoever waits for the key is answered.',
      tags,
      querystring: CacheQuery,
      headers: WriteConditions,
      body: ref(NewCacheEntry),
      response: { 200: ref(CacheSetReply), ...problems(400, 409, 412, 413, 422, 503, 507) }
    }
  }, async (request, reply) => {
    const { body } = request
    const { backend, namespace = DEFAULT_NAMESPACE } = agree(request.query, body)
    const { key } = body
    checkKey(key, maxKeyLength)
    const cache = cacheOf(caches, backend)
    checkKeyAccess(request.principal, namespace, key)
    const given = toNewEntry(body, cache.backend)
    const entry = await conditionally(reply, key, () => cache.peek(namespace, key, false, reply), (condition) => {
      if (body.lease === undefined) return cache.set(namespace, key, given, condition, reply)
      if (condition !== undefined) throw new InvalidInputError('A lease is a condition already: leave out If-Match and If-None-Match.')
      return cache.fill(namespace, key, given, body.lease, reply)
    })
    void reply.header('etag', entityTag(entry.version))
    return setReply(entry, cache.backend)
  })

  app.get('/get/:key', {
    config: { scope: 'cache:read', touches: 'handler' },
    validatorCompiler: frugalValidators(app),
    schema: {
      operationId: 'getCacheEntry',
      summary: 'Read an entry',
      description: 'Answers 200 for a hit and for a miss: `found` tells them apart. The ETag is the version.\n\n' +
        'With `lease=5`, many who miss at once need not all compute the value: the first is answered at once, with a `lease` whose token ' +
        'goes with the value to `/api/cache/set`; the others wait up to so many seconds for it, or take a stale value where there is one. ' +
        'When the holder lets the lease run out, or the key is written or deleted, the lease is void, and the next caller gets one.',
      tags,
      params: CacheKeyParams,
      querystring: CacheReadQuery,
      headers: ReadConditions,
      response: {
        200: ref(CacheGetReply),
        304: { description: 'The entry is still the version in If-None-Match', type: 'null' },
        ...problems(400, 422, 503)
      }
    }
    // Synchronous up to the answer where the cache is: a promise on this path costs more than the lookup.
  }, (request, reply) => {
    const { key } = request.params
    const { query } = request
    checkKey(key, maxKeyLength)
    const cache = cacheOf(caches, query.backend)
    const namespace = query.namespace ?? DEFAULT_NAMESPACE
    if (isHidden(request.principal, namespace, key)) {
      // Without a lease too: it would be a right to write.
      sendEntry(request, reply, key, undefined, cache.backend)
      return undefined
    }
    if (query.lease !== undefined) {
      const leased = cache.getOrLease(namespace, key, query.lease * 1000, reply)
      return leased.then((outcome) => sendLeased(request, reply, key, outcome, cache.backend))
    }
    const found = cache.get(namespace, key, reply)
    if (!(found instanceof Promise)) {
      sendEntry(request, reply, key, found, cache.backend)
      return undefined
    }
    return found.then((entry) => sendEntry(request, reply, key, entry, cache.backend))
  })

  app.delete('/delete/:key', {
    config: { scope: 'cache:delete', priority: 'invalidation', touches: 'handler' },
    schema: {
      operationId: 'deleteCacheEntry',
      summary: 'Delete an entry',
      description: 'Answers 200 whether or not there was one: `found` says which. `If-Match: "version"` deletes that version alone.',
      tags,
      params: CacheKeyParams,
      querystring: CacheQuery,
      headers: WriteConditions,
      response: { 200: ref(CacheDeleteReply), ...problems(400, 412, 422, 503, 507) }
    }
  }, async (request, reply) => {
    const { params: { key }, query: { backend, namespace = DEFAULT_NAMESPACE } } = request
    checkKey(key, maxKeyLength)
    const cache = cacheOf(caches, backend)
    checkKeyAccess(request.principal, namespace, key)
    const found = await conditionally(reply, key,
      () => cache.peek(namespace, key, false, reply), (condition) => cache.delete(namespace, key, condition, reply))
    return { success: true as const, found, message: found ? 'Entry deleted' : 'No such entry', key }
  })

  app.get('/exists/:key', {
    config: { scope: 'cache:read', touches: 'handler' },
    schema: {
      operationId: 'cacheEntryExists',
      summary: 'Tell whether an entry is there',
      description: 'Counts as no read: neither recency nor statistics change.',
      tags,
      params: CacheKeyParams,
      querystring: CacheQuery,
      response: { 200: ref(CacheExistsReply), ...problems(400, 422, 503) }
    }
  }, async (request, reply) => {
    const { params: { key }, query: { backend, namespace = DEFAULT_NAMESPACE } } = request
    checkKey(key, maxKeyLength)
    const cache = cacheOf(caches, backend)
    const entry = isHidden(request.principal, namespace, key) ? undefined : await cache.peek(namespace, key, false, reply)
    void reply.header('cache-control', NO_CACHE)
    return { success: true as const, exists: entry !== undefined, key }
  })

  app.post('/touch', {
    config: { scope: 'cache:write', touches: 'handler' },
    schema: {
      operationId: 'touchCacheEntry',
      summary: 'Set the TTL of an entry',
      description: 'Changes when the entry expires, and nothing else: its value and version stay.',
      tags,
      querystring: CacheQuery,
      body: ref(CacheTouch),
      response: { 200: ref(CacheTouchReply), ...problems(400, 422, 503, 507) }
    }
  }, async ({ query, body, principal }, reply) => {
    const { backend, namespace = DEFAULT_NAMESPACE } = agree(query, body)
    const { key, ttl } = body
    checkKey(key, maxKeyLength)
    const cache = cacheOf(caches, backend)
    checkKeyAccess(principal, namespace, key)
    const found = await cache.touch(namespace, key, ttl, reply) !== undefined
    return { success: true as const, found, message: found ? 'TTL set' : 'No such entry', key, ttl }
  })

  app.post('/increment', {
    config: { scope: 'cache:write', touches: 'handler', idempotency: { isRepeatable: false } },
    schema: {
      operationId: 'incrementCacheEntry',
      summary: 'Add to a counter',
      description: 'Adds in one step, however many callers do so at once. An absent counter starts at 0; a value that is no number is 409.',
      tags,
      querystring: CacheQuery,
      body: ref(CacheIncrement),
      response: { 200: ref(CacheIncrementReply), ...problems(400, 409, 413, 422, 503, 507) }
    }
  }, async (request, reply) => {
    const { body } = request
    const { backend, namespace = DEFAULT_NAMESPACE } = agree(request.query, body)
    const { key, by = 1, ttl } = body
    checkKey(key, maxKeyLength)
    const cache = cacheOf(caches, backend)
    checkKeyAccess(request.principal, namespace, key)
    const entry = await cache.increment(namespace, key, by, ttl === undefined ? {} : { ttl }, reply)
    void reply.header('etag', entityTag(entry.version))
    return {
      success: true as const,
      message: 'Counter incremented',
      key,
      value: Number(entry.value),
      ttl: secondsLeft(entry.expiresAt, cache.now),
      version: entry.version
    }
  })
}

/** Whether the entry does not exist for the principal. Nothing is computed for those who may see everything. */
function isHidden (principal: Principal, namespace: string, key: string): boolean {
  return !seesAll(principal) && !seesKey(principal, namespace, key)
}

/** Writes under the request's If-Match and If-None-Match, or plainly when it has neither. */
async function conditionally<T> (
  reply: FastifyReply, key: string,
  peek: () => MaybePromise<Entry | undefined>, write: (condition?: Condition) => MaybePromise<T>
): Promise<T> {
  const { headers } = reply.request
  const preconditions = parsePreconditions(headers['if-match'], headers['if-none-match'])
  if (preconditions === undefined) return write()
  return writeIf(preconditions, key, async () => (await peek())?.version, async (condition) => write(condition), reply)
}

export default entries
