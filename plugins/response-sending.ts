import type { FastifyReply } from 'fastify'
import { entityTag, matchesTag } from '../services/preconditions.js'
import type { StoredResponse } from '../services/response-cache/stored-response.js'
import { fieldNames, textOf } from '../services/response-cache/storing.js'
import type { Asked } from './response-asked.js'
import type { CachedRoute } from './response-cache.js'
import type { Capture } from './response-capture.js'
import type { Load } from './response-load.js'

/** How a response leaves: with what other caches are to know of it, or as 304. */
export class Sending {
  readonly #route: CachedRoute
  readonly #asked: Asked
  readonly #reply: FastifyReply

  constructor (route: CachedRoute, asked: Asked, reply: FastifyReply) {
    this.#route = route
    this.#asked = asked
    this.#reply = reply
  }

  /**
   * Sends what is stored.
   * @param age seconds
   * @param held this request's own run of the route, where its answer is held back: this one goes in its place
   */
  stored ({ head, body }: StoredResponse, { version, age, status }: { version: string, age: number, status: string }, held: Capture | undefined): void {
    const reply = this.#reply
    const { headers } = head
    for (const name in headers) {
      const value = headers[name]
      if (value === null) reply.removeHeader(name)
      else reply.header(name, value)
    }
    reply.header('cache-status', status)
    if (head.status !== 200) {
      reply.code(head.status)
      return this.#give(body, held)
    }
    const tag = textOf(headers['etag'] ?? undefined) ?? entityTag(version)
    this.#describe(tag, age)
    if (!this.#isUnchanged(tag, textOf(headers['last-modified'] ?? undefined))) return this.#give(body, held)
    reply.code(304).removeHeader('content-type').removeHeader('content-length')
    this.#give(undefined, held)
  }

  /** Lets the answer of this request's own run go. @param version under which it is stored, or would be */
  own ({ capture, captured, verdict }: Load, version: string, status: string): void {
    const reply = this.#reply
    reply.header('cache-status', status)
    if (typeof verdict !== 'object' || captured === undefined) {
      if (reply.statusCode === 200) this.control()
      return capture.release()
    }
    const { headers } = captured
    const tag = textOf(headers['etag']) ?? entityTag(version)
    const { groupHeader } = this.#asked
    if (groupHeader !== undefined && headers['cache-groups'] === undefined) reply.header('cache-groups', groupHeader)
    this.#describe(tag, verdict.age)
    if (!this.#isUnchanged(tag, textOf(headers['last-modified']))) return capture.release()
    reply.code(304).removeHeader('content-length')
    capture.release(null)
  }

  /** What other caches are to know of the answer, where it does not say it. Whoever keeps a copy asks before it is used: the copy cannot know of a write. */
  control (): void {
    const { vary, for: whom } = this.#route
    const reply = this.#reply
    if (reply.getHeader('cache-control') === undefined) {
      reply.header('cache-control', whom === 'caller' || this.#asked.isCredentialed ? 'private, no-cache' : 'no-cache')
    }
    if (vary.length === 0) return
    const present = textOf(reply.getHeader('vary'))
    const missing = vary.filter((name) => !fieldNames(present).includes(name))
    if (missing.length > 0) reply.header('vary', [...present === undefined ? [] : [present], ...missing].join(', '))
  }

  #give (body: string | Buffer | undefined, held: Capture | undefined): void {
    if (held?.isHeld === true) held.release(this.#asked.request.method === 'HEAD' ? null : body)
    else void this.#reply.send(body)
  }

  #describe (tag: string, age: number): void {
    const reply = this.#reply
    reply.header('etag', tag)
    reply.header('age', Math.floor(age))
    this.control()
  }

  /** RFC 9110, section 13.1: `If-Modified-Since` counts only where there is no `If-None-Match`. */
  #isUnchanged (tag: string, lastModified: string | undefined): boolean {
    const { 'if-none-match': noneMatch, 'if-modified-since': since } = this.#asked.request.headers
    if (noneMatch !== undefined) return matchesTag(noneMatch, tag)
    return since !== undefined && lastModified !== undefined && Date.parse(lastModified) <= Date.parse(since)
  }
}
