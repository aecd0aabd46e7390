import type { FastifyReply } from 'fastify'
import { isUnchanged } from '../services/http-cache/conditions.js'
import { contentTag, type EntityTags } from '../services/http-cache/entity-tags.js'
import type { Body, StoredResponse } from '../services/response-cache/stored-response.js'
import { fieldNames, type HeaderValue, textOf } from '../services/response-cache/storing.js'
import type { Asked } from './response-asked.js'
import type { CachedRoute } from './response-cache.js'
import { Capture, type Captured } from './response-capture.js'
import type { Load } from './response-load.js'

const JSON_TYPE = 'application/json; charset=utf-8'
/** Headers that tell apart two representations which may have the same bytes. */
const REPRESENTATION = ['content-type', 'content-encoding', 'content-language'] as const

/** How a response leaves: with what other caches are to know of it, or as 304. */
export class Sending {
  readonly #route: CachedRoute
  readonly #asked: Asked
  readonly #reply: FastifyReply
  readonly #tags: EntityTags

  constructor (route: CachedRoute, asked: Asked, reply: FastifyReply, tags: EntityTags) {
    this.#route = route
    this.#asked = asked
    this.#reply = reply
    this.#tags = tags
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
    if (headers['content-encoding'] !== undefined) Capture.encodedByHandler.add(reply)
    if (head.status !== 200) {
      reply.code(head.status)
      return this.#give(body, held)
    }
    const tag = textOf(headers['etag'] ?? undefined) ?? this.#tags.of(this.#asked.key, version, () => contentTag(body, metadataOf(headers)))
    this.#describe(tag, age)
    if (!this.#isUnchanged(tag, headers)) return this.#give(body, held)
    reply.code(304).removeHeader('content-type').removeHeader('content-length')
    this.#give(undefined, held)
  }

  /** Lets the answer of this request's own run go, which is kept, or could not be. */
  own ({ capture, captured, verdict }: Load, status: string): void {
    this.#reply.header('cache-status', status)
    if (captured === undefined) return capture.release()
    const { groupHeader } = this.#asked
    const isKept = typeof verdict === 'object'
    if (isKept && groupHeader !== undefined && captured.headers['cache-groups'] === undefined) this.#reply.header('cache-groups', groupHeader)
    this.past(capture, captured, isKept ? verdict.age : undefined)
  }

  /** Lets an answer go that was made for this request. @param age seconds; undefined where the cache has nothing to do with it */
  past (capture: Capture, { status, headers, own, body }: Captured, age?: number): void {
    const reply = this.#reply
    if (status !== 200) return capture.release()
    const tag = textOf(headers['etag']) ?? tagOf(body, own)
    if (own['content-encoding'] !== undefined) Capture.encodedByHandler.add(reply)
    this.#describe(tag, age)
    Capture.weaken(reply)
    if (tag === undefined || !this.#isUnchanged(tag, own)) return capture.release()
    reply.code(304).removeHeader('content-type').removeHeader('content-length')
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

  #describe (tag: string | undefined, age: number | undefined): void {
    const reply = this.#reply
    if (tag !== undefined) reply.header('etag', tag)
    if (age !== undefined) reply.header('age', Math.floor(age))
    this.control()
  }

  #isUnchanged (tag: string, headers: OwnHeaders): boolean {
    return isUnchanged(this.#asked.request.headers, tag, textOf(headers['last-modified'] ?? undefined))
  }
}

type OwnHeaders = Readonly<Record<string, HeaderValue | null | undefined>>

/** Of what cannot be kept (a stream, nothing at all) there is none. */
function tagOf (body: Body, own: OwnHeaders): string | undefined {
  if (body === undefined) return undefined
  return contentTag('json' in body ? body.json : 'text' in body ? body.text : body.bytes, metadataOf(own))
}

/** As the handler gave them: what hooks make of an answer is another matter. */
function metadataOf (own: OwnHeaders): string {
  let metadata = ''
  for (const name of REPRESENTATION) {
    const value = own[name]
    // What the handler leaves to Fastify needs no telling apart.
    if (value !== undefined && value !== null && value !== JSON_TYPE) metadata += `${name}: ${textOf(value)}\n`
  }
  return metadata
}
