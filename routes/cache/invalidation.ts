import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type {} from '../../plugins/deadlines.js'
import {
  CacheClearReply, CacheInvalidateReply, CacheInvalidation, ClearQuery, InvalidateQuery, type CachePreview
} from '../../schemas/cache-administration.js'
import { problems, ref } from '../../schemas/common.js'
import { checkNamespaceAccess, checkPatternAccess } from '../../services/access/access.js'
import type { Cache } from '../../services/cache/cache.js'
import type { Caller } from '../../services/cache/caller.js'
import type { Invalidation } from '../../services/cache/ledger.js'
import { InvalidInputError } from '../../services/errors.js'
import { checkPattern, checkTags } from '../../services/names.js'
import { SWEEP } from './costs.js'
import { agree, cachesOf, DEFAULT_NAMESPACE } from './place.js'

const tags = ['Cache']
const SOFT = 'With `mode: soft` they are stale instead, and kept until their `grace` is over, so many seconds past their TTL, or, where they never expire, from ' +
  'now: reads with a `lease` get the old value while one of them renews it, and to all others it is a miss. What has no grace is gone. One key is invalidated by its pattern, with `*`, `?`, `[` and `\\` escaped.'
const DRY_RUN = 'With `dry_run=true` nothing goes: the answer says how many would, and names some.'
/** Entries that a preview names. */
const NAMED = 20

/** Dropping many entries by what they have in common, in every backend unless one is named. */
const invalidation: FastifyPluginAsyncTypebox = async (app) => {
  const { caches } = app

  app.post('/clear', {
    config: { scope: 'cache:delete', priority: 'invalidation', touches: 'handler', audit: 'cache.clear', rateLimit: { cost: SWEEP } },
    schema: {
      operationId: 'clearCache',
      summary: 'Delete all entries, or those that match',
      description: `Deletes every entry of the namespace, or those whose key matches the pattern. ${DRY_RUN}`,
      tags,
      querystring: ClearQuery,
      response: { 200: ref(CacheClearReply), ...problems(400, 422, 503, 507) }
    }
  }, async ({ query: { pattern, backend, namespace = DEFAULT_NAMESPACE, dry_run: isDry = false }, principal }, reply) => {
    if (pattern !== undefined) checkPattern(pattern)
    const meant = cachesOf(caches, backend)
    if (pattern === undefined) checkNamespaceAccess(principal, namespace)
    else checkPatternAccess(principal, namespace, pattern)
    if (isDry) {
      const preview = await previewIn(meant, namespace, pattern === undefined ? { all: true } : { pattern }, reply)
      return { success: true as const, message: `${said(preview)} would be deleted`, deleted_count: 0, pattern: pattern ?? null, preview }
    }
    const deleted = sum(await Promise.all(meant.map(async (cache) => cache.clear(namespace, pattern, reply))))
    return { success: true as const, message: `${deleted} ${noun(deleted)} deleted`, deleted_count: deleted, pattern: pattern ?? null }
  })

  app.post('/invalidate', {
    config: {
      scope: 'cache:delete',
      priority: 'invalidation',
      touches: 'handler',
      audit: 'cache.invalidate',
      // An invalidation takes the same time however much it concerns; to look at everything does not.
      rateLimit: { cost: ({ query }) => (query as { dry_run?: boolean }).dry_run === true ? SWEEP : 1 }
    },
    schema: {
      operationId: 'invalidateCache',
      summary: 'Invalidate entries by tag or pattern',
      description: `Deletes the entries of the namespace that carry any of the tags, and those whose key matches the pattern. ${SOFT}\n\n${DRY_RUN}`,
      tags,
      querystring: InvalidateQuery,
      body: ref(CacheInvalidation),
      response: { 200: ref(CacheInvalidateReply), ...problems(400, 422, 503, 507) }
    }
  }, async ({ query, body, principal }, reply) => {
    const { backend, namespace = DEFAULT_NAMESPACE } = agree(query, body)
    const { pattern } = body
    const soft = body.mode === 'soft'
    if (body.tags === undefined && pattern === undefined) {
      throw new InvalidInputError('Give tags, or a pattern, or both: to drop everything, use clear.')
    }
    const given = body.tags === undefined ? [] : checkTags(body.tags, 'tags')
    if (pattern !== undefined) checkPattern(pattern)
    const what = { ...(given.length > 0 ? { tags: given } : {}), ...(pattern === undefined ? {} : { pattern }), soft }
    const meant = cachesOf(caches, backend)
    // Any entry of the namespace may carry a tag.
    if (given.length > 0) checkNamespaceAccess(principal, namespace)
    if (pattern !== undefined) checkPatternAccess(principal, namespace, pattern)
    const asked = { success: true as const, tags: body.tags ?? [], pattern: pattern ?? null }
    if (query.dry_run === true) {
      const preview = await previewIn(meant, namespace, what, reply)
      return { ...asked, message: `${said(preview)} would be invalidated`, deleted_count: 0, ...(soft && { stale_count: 0 }), preview }
    }
    const fallen = await Promise.all(meant.map(async (cache) => cache.drop(namespace, what, reply)))
    const [deleted, stale] = [sum(fallen.map(({ removed }) => removed)), sum(fallen.map(({ outdated }) => outdated))]
    return {
      ...asked,
      message: `${deleted + stale} ${noun(deleted + stale)} invalidated${soft ? `, ${stale} of them kept as stale` : ''}`,
      deleted_count: deleted,
      ...(soft && { stale_count: stale })
    }
  })
}

async function previewIn (caches: readonly Cache[], namespace: string, what: Invalidation, caller: Caller): Promise<CachePreview> {
  const previews = await Promise.all(caches.map(async (cache) => ({ backend: cache.backend, ...await cache.preview(namespace, what, caller) })))
  return {
    would_delete: sum(previews.map(({ removed }) => removed)),
    ...(what.soft === true && { would_be_stale: sum(previews.map(({ outdated }) => outdated)) }),
    is_complete: previews.every(({ isComplete }) => isComplete),
    sample: previews.flatMap(({ backend, sample }) => sample.map(({ key, tags }) => ({ backend, key, tags: [...tags] }))).slice(0, NAMED)
  }
}

function said ({ would_delete: gone, would_be_stale: stale = 0, is_complete: isComplete }: CachePreview): string {
  return `${isComplete ? '' : 'At least '}${gone + stale} ${noun(gone + stale)}`
}

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0)
const noun = (count: number): string => count === 1 ? 'entry' : 'entries'

export default invalidation
