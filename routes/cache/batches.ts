import createError from '@fastify/error'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type {} from '../../plugins/deadlines.js'
import type {} from '../../plugins/gatekeeper.js'
import { CacheQuery, type CacheSetReply, type NewCacheEntry } from '../../schemas/cache.js'
import {
  CacheDeleteBatchReply, CacheGetBatchReply, CacheKeys, CacheSetBatchReply, NewCacheEntries, WarmCacheEntries, WarmQuery
} from '../../schemas/cache-batches.js'
import { problems, ref } from '../../schemas/common.js'
import { checkKeyAccess, checkNamespaceReach } from '../../services/access/access.js'
import { type Principal, seesAll, seesKey } from '../../services/access/principal.js'
import { cacheItemText, joinText, quoted } from '../../services/cache-item.js'
import type { Cache } from '../../services/cache/cache.js'
import { type Caller, isLeaving } from '../../services/cache/caller.js'
import type { EncodedValue, Entry } from '../../services/cache/entry.js'
import { inOrder } from '../../services/cache/in-order.js'
import { checkKey } from '../../services/names.js'
import { toNewEntry } from '../../services/new-entry.js'
import type { CacheRoutesOptions } from '../cache.js'
import { sendJsonText, setReply } from './answers.js'
import { perEntry } from './costs.js'
import { keyIn, setBatchReply, sortKeys } from './outcomes.js'
import { agree, cacheOf, DEFAULT_NAMESPACE, type PlaceNames } from './place.js'
import { batchValidators, entryCheck } from './validation.js'

const tags = ['Cache']

/** Bytes of an answer: a batch may name a large entry a thousand times. */
const MAX_ANSWER = 64 * 1024 * 1024

const AnswerTooLargeError = createError(
  'ERR_CONTENT_TOO_LARGE', `The entries together take more than ${MAX_ANSWER} bytes: ask for fewer keys at once.`, 413)

/** Many entries at once. Each is judged and answered by itself. */
const batches: FastifyPluginAsyncTypebox<CacheRoutesOptions> = async (app, { maxKeyLength }) => {
  const { caches } = app
  const validatorCompiler = batchValidators(app)
  const checkedEntry = entryCheck(app)

  app.post('/set-batch', {
    config: { scope: 'cache:write', priority: 'bulk', touches: 'handler', rateLimit: { cost: perEntry } },
    validatorCompiler,
    schema: {
      operationId: 'setCacheEntries',
      summary: 'Store many entries',
      description: 'Stores up to 1000 entries in the order given; one that fails does not keep the others from being stored. ' +
        '`backend` and `namespace` in the query are for entries that name none.',
      tags,
      querystring: CacheQuery,
      body: ref(NewCacheEntries),
      response: { 200: ref(CacheSetBatchReply), ...problems(400, 503) }
    }
  }, async (request, reply) => {
    const { query, body } = request
    const check = accessCheck(request)
    const settled = await settledInOrder(body, async (entry: unknown) => await store(query, checkedEntry(entry), check, reply), reply)
    return setBatchReply(body.map(keyIn), settled)
  })

  app.post('/get-batch', {
    config: { scope: 'cache:read', priority: 'bulk', touches: 'handler', rateLimit: { cost: perEntry }, idempotency: false },
    validatorCompiler,
    schema: {
      operationId: 'getCacheEntries',
      summary: 'Read many entries',
      description: 'Reads up to 1000 keys and answers them in the order given. Entries of more than 64 MiB together are refused with 413. ' +
        'It changes nothing: an Idempotency-Key means nothing here, as with GET.',
      tags,
      querystring: CacheQuery,
      body: ref(CacheKeys),
      response: { 200: ref(CacheGetBatchReply), ...problems(400, 413, 422, 503) }
    }
  }, async ({ query: { backend, namespace = DEFAULT_NAMESPACE }, body, principal }, reply) => {
    const cache = cacheOf(caches, backend)
    const { valid, faults } = sortKeys(body, maxKeyLength)
    const entries = await seenOf(principal, cache, namespace, valid, reply)
    if (entries.reduce((bytes, entry) => bytes + (entry?.size ?? 0), 0) > MAX_ANSWER) throw new AnswerTooLargeError()
    const pieces: EncodedValue[] = []
    let next = 0
    let found = 0
    for (const [index, key] of body.entries()) {
      if (index > 0) pieces.push(',')
      const fault = faults.get(index)
      const entry = fault === undefined ? entries[next++] : undefined
      if (fault !== undefined) {
        pieces.push(JSON.stringify(fault))
      } else if (entry === undefined) {
        pieces.push(`{"key":${quoted(key)},"success":true,"result":{"found":false}}`)
      } else {
        found++
        const head = `{"key":${quoted(key)},"success":true,"result":{"found":true,"cache_item":`
        pieces.push(cacheItemText(entry, cache.backend, entry.accessedAt, head, '}}'))
      }
    }
    const total = body.length
    const counts = `"total_keys":${total},"found_count":${found},"not_found_count":${total - found}`
    pieces.unshift(`{"success":true,"message":"${found} of ${total} keys found",${counts},"results":[`)
    pieces.push(']}')
    return sendJsonText(reply, joinText(pieces))
  })

  app.post('/delete-batch', {
    config: { scope: 'cache:delete', priority: 'invalidation', touches: 'handler', rateLimit: { cost: perEntry } },
    validatorCompiler,
    schema: {
      operationId: 'deleteCacheEntries',
      summary: 'Delete many entries',
      description: 'Deletes up to 1000 keys and answers them in the order given.',
      tags,
      querystring: CacheQuery,
      body: ref(CacheKeys),
      response: { 200: ref(CacheDeleteBatchReply), ...problems(400, 422, 503, 507) }
    }
  }, async (request, reply) => {
    const { query: { backend, namespace = DEFAULT_NAMESPACE }, body, principal } = request
    const cache = cacheOf(caches, backend)
    checkNamespaceReach(principal, namespace)
    const check = accessCheck(request)
    const { valid, faults } = sortKeys(body, maxKeyLength, (key) => { check(namespace, key) })
    const deleted = await cache.deleteMany(namespace, valid, reply)
    let next = 0
    const results = body.map((key, index) =>
      faults.get(index) ?? { key, success: true as const, result: { found: deleted[next++] === true } })
    const found = deleted.filter(Boolean).length
    const total = body.length
    return {
      success: true as const,
      message: `${found} of ${total} keys deleted`,
      total_keys: total,
      found_count: found,
      not_found_count: total - found,
      results
    }
  })

  app.post('/warm', {
    config: { scope: 'cache:write', priority: 'bulk', touches: 'handler', rateLimit: { cost: perEntry } },
    schema: {
      operationId: 'warmCache',
      summary: 'Fill the cache',
      description: 'Stores up to 1000 values by key; their data types are inferred.',
      tags,
      querystring: WarmQuery,
      body: ref(WarmCacheEntries),
      response: { 200: ref(CacheSetBatchReply), ...problems(400, 422, 503) }
    }
  }, async (request, reply) => {
    const { query: { backend, namespace, ttl }, body } = request
    const place: PlaceNames<CacheQuery['backend']> = {}
    if (backend !== undefined) place.backend = backend
    if (namespace !== undefined) place.namespace = namespace
    cacheOf(caches, backend)
    checkNamespaceReach(request.principal, namespace ?? DEFAULT_NAMESPACE)
    const check = accessCheck(request)
    const given = Object.entries(body)
    const settled = await settledInOrder(given, async ([key, value]) =>
      await store(place, ttl === undefined ? { key, value } : { key, value, ttl }, check, reply), reply)
    return setBatchReply(given.map(([key]) => key), settled)
  })

  async function store (query: PlaceNames<CacheQuery['backend']>, given: NewCacheEntry, check: AccessCheck, caller: Caller): Promise<CacheSetReply> {
    const { backend, namespace = DEFAULT_NAMESPACE } = agree(query, given)
    checkKey(given.key, maxKeyLength)
    const cache = cacheOf(caches, backend)
    check(namespace, given.key)
    return setReply(given.lease === undefined
      ? await cache.set(namespace, given.key, toNewEntry(given, cache.backend), undefined, caller)
      : await cache.fill(namespace, given.key, toNewEntry(given, cache.backend), given.lease, caller), cache.backend)
  }
}

/** The entries that exist for the principal, in the order of the keys. */
async function seenOf (principal: Principal, cache: Cache, namespace: string, keys: readonly string[], caller: Caller): Promise<(Entry | undefined)[]> {
  if (seesAll(principal)) return await cache.getMany(namespace, keys, caller)
  const isSeen = keys.map((key) => seesKey(principal, namespace, key))
  const entries = await cache.getMany(namespace, keys.filter((_, at) => isSeen[at]), caller)
  let next = 0
  return isSeen.map((seen) => seen ? entries[next++] : undefined)
}

/** What became of each, those that were begun in their order. @throws the reason why the caller has gone */
async function settledInOrder<T> (
  entries: readonly T[], store: (entry: T) => Promise<CacheSetReply>, caller: Caller
): Promise<PromiseSettledResult<CacheSetReply>[]> {
  const settled: PromiseSettledResult<CacheSetReply>[] = []
  await inOrder(entries, async (entry, at) => {
    try {
      settled[at] = { status: 'fulfilled', value: await store(entry) }
    } catch (reason) {
      if (isLeaving(reason, caller)) throw reason
      settled[at] = { status: 'rejected', reason }
    }
  }, caller)
  return settled
}

/** @throws ForbiddenError */
type AccessCheck = (namespace: string, key: string) => void

/** Holds the keys of a batch to the principal. Each is answered by itself, so that nobody else would tell: the first is told here. */
function accessCheck (request: FastifyRequest): AccessCheck {
  let isTold = false
  return (namespace, key) => {
    try {
      checkKeyAccess(request.principal, namespace, key)
    } catch (error) {
      if (!isTold) request.server.gatekeeper.denied(request, error as Error)
      isTold = true
      throw error
    }
  }
}

export default batches
