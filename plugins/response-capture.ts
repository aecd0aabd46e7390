import { ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest, onSendHookHandler, preSerializationHookHandler, RouteHandlerMethod } from 'fastify'
import { type Headers, textOf } from '../services/response-cache/storing.js'
import type { Body } from '../services/response-cache/stored-response.js'

/** What a handler answered. */
export interface Captured {
  readonly status: number
  /** As they would be sent. */
  readonly headers: Headers
  /** Those that the handler has set or changed; null where it took one away. Hooks give each answer their own again. */
  readonly own: Record<string, string | number | string[] | null>
  /** As the handler gave it, before hooks that change what is sent. */
  readonly body: Body
}

type Release = (error?: Error | null, payload?: unknown) => void

/** The replies whose handler is watched. */
const captures = new WeakMap<FastifyReply, Capture>()

/** The answer came when nobody waited any more. */
export class LateAnswerError extends Error {}

/**
 * Runs a route's handler and tells what it answers. On the reply of a request the answer is held back until `release`, so that headers can
 * be added that are not known before it is stored.
 */
export class Capture {
  readonly #reply: FastifyReply
  readonly #isDetached: boolean
  readonly #before: Headers
  #body: Body
  #own: Captured['own'] | undefined
  #isSerialized = false
  #payload: unknown
  #release: Release | undefined
  #running: Promise<unknown> | undefined
  #settle: { resolve: (captured: Captured | undefined) => void, reject: (error: unknown) => void } | undefined

  private constructor (reply: FastifyReply, isDetached: boolean) {
    this.#reply = reply
    this.#isDetached = isDetached
    this.#before = reply.getHeaders()
    captures.set(reply, this)
  }

  /** One on the reply of the request itself: its answer is held back until `release`. */
  static of (reply: FastifyReply): Capture { return new Capture(reply, false) }

  /** One whose answer goes nowhere, on a reply of its own: that of the request may have been sent. */
  static inBackground (reply: FastifyReply): Capture {
    const Detached = reply.constructor as new (response: ServerResponse, request: FastifyRequest, log: FastifyReply['log']) => FastifyReply
    const detached = new Detached(new ServerResponse(reply.request.raw), reply.request, reply.log)
    return new Capture(detached, true)
  }

  /** What the handler answered; undefined where that goes another way than through the reply (`hijack`, `callNotFound`). Throws what it throws. */
  async run (server: FastifyInstance, handler: RouteHandlerMethod, request: FastifyRequest): Promise<Captured | undefined> {
    const reply = this.#reply
    return await new Promise<Captured | undefined>((resolve, reject) => {
      this.#settle = { resolve, reject }
      this.#watch()
      // Also when it goes past every hook.
      reply.raw.once('finish', () => { resolve(undefined) })
      try {
        const result: unknown = handler.call(server, request, reply)
        if (result instanceof Promise || (typeof result === 'object' && result !== null && 'then' in result && result !== reply)) {
          this.#running = Promise.resolve(result).then((value) => { this.#returned(value, true) }).catch((error: unknown) => { this.#fail(error) })
        } else {
          this.#returned(result, false)
        }
      } catch (error) {
        this.#fail(error)
      }
    })
  }

  /** Whether an answer is held back. */
  get isHeld (): boolean { return this.#release !== undefined }

  /** Lets the answer go. @param payload in place of its own */
  release (...payload: [unknown?]): void {
    const release = this.#release
    this.#release = undefined
    release?.(null, payload.length === 0 ? this.#payload : payload[0])
  }

  /** Leaves the reply to another answer: its headers and status are as they were before the handler. */
  abandon (): void {
    const reply = this.#reply
    captures.delete(reply)
    this.#unwatch()
    this.restore()
    const late = (): void => { this.#settle?.reject(new LateAnswerError('The answer came too late')) }
    if (this.#running === undefined) late()
    else void this.#running.finally(late)
  }

  /** Takes back what the handler did to headers and status. */
  restore (): void {
    const reply = this.#reply
    for (const name of Object.keys(reply.getHeaders())) if (!(name in this.#before)) reply.removeHeader(name)
    for (const [name, value] of Object.entries(this.#before)) if (value !== undefined) reply.header(name, value)
    reply.code(200)
  }

  /** The last of the preSerialization hooks: what they have made of the handler's object is what is kept, as text. */
  static readonly preSerialization: preSerializationHookHandler<unknown> = (_request, reply, payload, done) => {
    const capture = captures.get(reply)
    if (capture === undefined) return done(null, payload)
    try {
      const text = serialized(reply, payload)
      // What is sent later in its place, an error, is another payload.
      reply.serializer((given: unknown) => given === payload ? text as string : typeof given === 'string' ? given : JSON.stringify(given))
      capture.#note(typeof text === 'string' ? { json: text } : undefined)
    } catch (error) {
      return done(error as Error)
    }
    done(null, payload)
  }

  /** Replies that a handler has given a `Content-Encoding` itself. */
  static readonly encodedByHandler = new WeakSet<FastifyReply>()

  /** A hook that compresses sends other bytes than the strong ETag stands for: one for all encodings of the same is weak (RFC 9110, section 8.8.3.3). */
  static weaken (reply: FastifyReply): void {
    if (!reply.hasHeader('content-encoding') || Capture.encodedByHandler.has(reply)) return
    const tag = textOf(reply.getHeader('etag'))
    if (tag?.startsWith('"') === true) reply.header('etag', `W/${tag}`)
  }

  /** The last of the onSend hooks. */
  static readonly onSend: onSendHookHandler<unknown> = (_request, reply, payload, done) => {
    const capture = captures.get(reply)
    if (capture === undefined) {
      Capture.weaken(reply)
      return done(null, payload)
    }
    captures.delete(reply)
    capture.#sent(payload, done)
  }

  /** Listens to what the handler gives the reply, before anything else sees it. */
  #watch (): void {
    const reply = this.#reply as { send: (payload?: unknown) => FastifyReply, serializer: (serializer: (payload: unknown) => string) => FastifyReply }
    reply.serializer = (serializer) => {
      this.#isSerialized = true
      Reflect.deleteProperty(reply, 'serializer')
      return reply.serializer(serializer)
    }
    reply.send = (payload) => {
      this.#unwatch()
      if (payload instanceof Error) {
        this.#fail(payload)
        return this.#reply
      }
      this.#given(payload)
      return reply.send(payload)
    }
  }

  #unwatch (): void {
    Reflect.deleteProperty(this.#reply, 'send')
    Reflect.deleteProperty(this.#reply, 'serializer')
  }

  #returned (value: unknown, isAsync: boolean): void {
    if (this.#own !== undefined || value === this.#reply || captures.get(this.#reply) !== this) return
    if (this.#reply.sent) this.#settle?.resolve(undefined)
    else if (value !== undefined || isAsync) void this.#reply.send(value)
  }

  #fail (err: unknown): void {
    if (this.isHeld) this.#reply.log.error({ err }, 'The handler failed after it had answered')
    captures.delete(this.#reply)
    this.#unwatch()
    this.#settle?.reject(err)
  }

  #given (payload: unknown): void {
    if (typeof payload === 'string') {
      // Another serialiser than Fastify's may make anything of it.
      this.#note(this.#isSerialized ? undefined : { text: payload }, 'text/plain; charset=utf-8')
    } else if (ArrayBuffer.isView(payload)) {
      this.#note({ bytes: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength) }, 'application/octet-stream')
    } else {
      this.#note(undefined)
    }
  }

  #note (body: Body, contentType?: string): void {
    const headers: Headers = this.#reply.getHeaders()
    const own: Captured['own'] = {}
    for (const [name, value] of Object.entries(headers)) if (value !== undefined && value !== this.#before[name]) own[name] = value
    for (const name of Object.keys(this.#before)) if (headers[name] === undefined) own[name] = null
    if (contentType !== undefined) own['content-type'] ??= textOf(headers['content-type']) ?? contentType
    this.#own = own
    this.#body = body
  }

  #sent (payload: unknown, release: Release): void {
    if (this.#isDetached) {
      (payload as { destroy?: () => void } | null | undefined)?.destroy?.()
    } else {
      this.#payload = payload
      this.#release = release
    }
    const { statusCode: status } = this.#reply
    this.#settle?.resolve({ status, headers: this.#reply.getHeaders(), own: this.#own ?? {}, body: this.#body })
  }
}

/**
 * What Fastify is about to make of the payload. Its `serialize` takes no notice of the content type, and so finds no serialiser where the
 * route's schema has one for each type.
 */
function serialized (reply: FastifyReply, payload: unknown): unknown {
  try {
    return reply.serialize(payload)
  } catch (error) {
    const { statusCode } = reply
    const found = [String(statusCode), `${Math.floor(statusCode / 100)}xx`, 'default'].map((status) => reply.getSerializationFunction(status) as unknown).find((each) => each !== undefined)
    if (typeof found !== 'object' || found === null) throw error
    const byType = found as Record<string, ((payload: unknown) => string) | undefined>
    const type = textOf(reply.getHeader('content-type'))?.split(';', 1)[0]?.trim().toLowerCase() ?? ''
    return (byType[type] ?? byType['*/*'] ?? JSON.stringify)(payload)
  }
}
