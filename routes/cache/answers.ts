import type { FastifyReply } from 'fastify'
import type { CacheSetReply } from '../../schemas/cache.js'
import { secondsLeft } from '../../services/cache-item.js'
import type { EncodedValue, Entry } from '../../services/cache/entry.js'

/** Entries change under any HTTP cache on the way: it has to ask each time, with the ETag. */
export const NO_CACHE = 'no-cache'

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
