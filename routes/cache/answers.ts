import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CacheSetReply } from '../../schemas/cache.js'
import { cacheItemText, secondsLeft } from '../../services/cache-item.js'
import type { LeasedRead } from '../../services/cache/cache.js'
import type { EncodedValue, Entry } from '../../services/cache/entry.js'
import { setAnswerLines } from '../../services/header-lines.js'
import { entityTag, isNotModified } from '../../services/preconditions.js'

/** Entries change under any HTTP cache on the way: it has to ask each time, with the ETag. */
export const NO_CACHE = 'no-cache'

const FOUND = '{"success":true,"found":true,"cache_item":'
const FOUND_STALE = '{"success":true,"found":true,"stale":true,"cache_item":'

/** Sends JSON text as it is, past the serialiser. */
export function sendJsonText (reply: FastifyReply, text: EncodedValue): FastifyReply {
  reply.header('content-type', 'application/json; charset=utf-8')
  return reply.send(text)
}

/** What was stored. */
export function setReply (entry: Entry, backend: CacheSetReply['backend']): CacheSetReply {
  return {
    success: true,
    message: 'Entry stored',
    key: entry.key,
    size: entry.size,
    ttl: secondsLeft(entry.expiresAt, entry.createdAt),
    backend,
    strategy: entry.strategy,
    version: entry.version
  }
}

/** Answers a read: the stored text goes out as it is, in text of ours, past the serialiser. */
export function sendEntry (
  request: FastifyRequest, reply: FastifyReply, key: string, entry: Entry | undefined, backend: string, before = FOUND
): FastifyReply {
  if (entry === undefined) {
    reply.header('cache-control', NO_CACHE)
    reply.header('cache-status', 'larder; fwd=miss')
    return sendJsonText(reply, `{"success":true,"found":false,"key":${JSON.stringify(key)},"message":"No such entry"}`)
  }
  const now = entry.accessedAt
  const left = entry.expiresAt === Infinity ? '' : `; ttl=${Math.floor((entry.expiresAt - now) / 1000)}`
  const age = Math.max(0, Math.floor((now - entry.createdAt) / 1000))
  const tag = entityTag(entry.version)
  if (!setAnswerLines(reply.raw, `cache-control: ${NO_CACHE}\r\ncache-status: larder; hit${left}\r\netag: ${tag}\r\nage: ${age}\r\n`)) {
    reply.headers({ 'cache-control': NO_CACHE, 'cache-status': `larder; hit${left}`, etag: tag, age })
  }
  const noneMatch = request.headers['if-none-match']
  if (noneMatch !== undefined && isNotModified(noneMatch, entry.version)) return reply.code(304).send()
  return sendJsonText(reply, cacheItemText(entry, backend, now, before, '}'))
}

/** Answers a read with a lease. */
export function sendLeased (request: FastifyRequest, reply: FastifyReply, key: string, outcome: LeasedRead, backend: string): FastifyReply {
  if ('entry' in outcome) return sendEntry(request, reply, key, outcome.entry, backend, outcome.kind === 'stale' ? FOUND_STALE : FOUND)
  if (outcome.kind === 'none') return sendEntry(request, reply, key, undefined, backend)
  reply.header('cache-control', NO_CACHE)
  reply.header('cache-status', 'larder; fwd=miss; detail=lease')
  const lease = `{"token":"${outcome.token}","expires_in":${outcome.milliseconds / 1000}}`
  return sendJsonText(reply,
    `{"success":true,"found":false,"key":${JSON.stringify(key)},"message":"No such entry: it is yours to store","lease":${lease}}`)
}
