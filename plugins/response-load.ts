import type { FastifyInstance, FastifyReply } from 'fastify'
import { Ready } from '../services/cache/get-or-set.js'
import type { Call } from '../services/database.js'
import { FaultAnsweredError, FaultOfCallerError, ForerunnerLeftError, isStatusForAll } from '../services/response-cache/faults.js'
import type { ResponseStore } from '../services/response-cache/response-store.js'
import { encodeResponse, type Head, NOT_SHARED } from '../services/response-cache/stored-response.js'
import { fieldNames, graceFor, judge, type Keeping, type Refusal, textOf } from '../services/response-cache/storing.js'
import type { Asked } from './response-asked.js'
import type { CachedRoute } from './response-cache.js'
import { Capture, type Captured, LateAnswerError } from './response-capture.js'
import type { Variants } from './response-variants.js'

const STALE_IF_ERROR = 60

/** Of one connection or one answer, never of what is stored. */
const NOT_STORED = new Set([
  'age', 'cache-status', 'connection', 'content-length', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'set-cookie', 'te', 'trailer', 'transfer-encoding', 'upgrade'
])

/** What a run is made with. */
export interface LoadOptions {
  store: ResponseStore
  route: CachedRoute
  server: FastifyInstance
  asked: Asked
  variants: Variants
  /** Whether its request has its answer already. */
  isBackground: boolean
  /** Whether it replaces what is stored. */
  isRefresh: boolean
  /** Whether an old answer may stand in for a fault. */
  hasStale: boolean
}

/** One run of a route, and what becomes of its answer: kept, given to those who wait, or for its caller alone. */
export class Load {
  readonly capture: Capture
  /** What the route answered, and whether that is kept. */
  captured: Captured | undefined
  verdict: Keeping | Refusal | undefined
  /** What the route threw. */
  error: unknown
  readonly #reply: FastifyReply
  readonly #options: LoadOptions

  constructor (reply: FastifyReply, options: LoadOptions) {
    this.#reply = reply
    this.#options = options
    this.capture = options.isBackground ? Capture.inBackground(reply) : Capture.of(reply)
  }

  /** What the cache is to keep, and those who wait are to get. */
  async run (): Promise<Ready> {
    const { store: { cache }, route, server, asked } = this.#options
    const signal = this.#options.isBackground ? undefined : signalOf(this.#reply)
    if (signal?.aborted === true) {
      this.error = signal.reason
      throw new ForerunnerLeftError('The caller left before it began', { cause: signal.reason })
    }
    const begun = cache.now
    let captured: Captured | undefined
    try {
      captured = await this.capture.run(server, route.handler, asked.request)
    } catch (error) {
      if (error instanceof LateAnswerError) throw error
      this.error = error
      if (this.#hasLeft) throw new ForerunnerLeftError('The caller left', { cause: error })
      throw asked.isCredentialed ? new FaultOfCallerError(error) : error
    }
    if (captured === undefined) return new Ready(NOT_SHARED, { isKept: false })
    // A route that answers for itself that it had no time.
    if (captured.status !== 200 && this.#hasLeft) throw new ForerunnerLeftError('The caller left')
    return await this.#judged(captured, (cache.now - begun) / 1000)
  }

  get #hasLeft (): boolean {
    return this.#options.asked.request.socket?.destroyed === true || (!this.#options.isBackground && signalOf(this.#reply)?.aborted === true)
  }

  async #judged (captured: Captured, delay: number): Promise<Ready> {
    const { route, asked, variants, isBackground } = this.#options
    const { status, headers, own, body } = captured
    const { ttl, staleWhileRevalidate = 0, staleIfError = STALE_IF_ERROR } = route
    const lifetime = typeof ttl === 'function' ? ttl(asked.request) : ttl
    const judged = judge(status, { ...headers, vary: varyOf(captured) }, {
      ttl: lifetime === 0 ? Infinity : lifetime, staleWhileRevalidate, staleIfError, isPrivate: route.for === 'caller', isCredentialed: asked.isCredentialed, delay, now: Date.now()
    })
    const verdict = typeof judged === 'object' && body === undefined ? 'not-whole' : judged
    this.captured = captured
    this.verdict = verdict
    if (typeof verdict === 'string') return await this.#notKept(verdict, captured)
    const kept: Record<string, string | number | string[] | null> = {}
    const ofConnection = fieldNames(textOf(headers['connection']))
    for (const [name, value] of Object.entries(own)) if (!NOT_STORED.has(name) && !ofConnection.includes(name)) kept[name] = value
    const { groupHeader } = asked
    if (groupHeader !== undefined) kept['cache-groups'] ??= groupHeader
    const { ttl: fresh, vary, ...rest } = verdict
    const response = new Ready(encodeResponse({ status, headers: kept, form: formOf(body), ...rest }, body), { ttl: fresh, grace: graceFor(verdict) })
    const others = vary.filter((name) => !route.vary.includes(name) && asked.variants?.includes(name) !== true)
    if (others.length > 0) return await variants.keep(response, others, isBackground)
    if (asked.base !== asked.name) await variants.list(asked.name, [], fresh)
    return response
  }

  async #notKept (verdict: Refusal, { status, headers, own, body }: Captured): Promise<Ready> {
    const { store, asked, isRefresh, hasStale } = this.#options
    const isForThem = verdict === 'status' && isStatusForAll(status)
    if (isForThem && status >= 500 && hasStale) throw new FaultAnsweredError(status)
    if (verdict !== 'status') store.setApart(asked.apartName)
    if (isRefresh && !(status >= 500)) await store.cache.forget(asked.key)
    const isPersonal = asked.isCredentialed || headers['set-cookie'] !== undefined || /\b(?:private|no-store)\b/i.test(textOf(headers['cache-control']) ?? '')
    if (!isForThem || isPersonal || body === undefined) return new Ready(NOT_SHARED, { isKept: false })
    return new Ready(encodeResponse({ status, headers: own, form: formOf(body) }, body), { isKept: false })
  }
}

/** Ends with the caller's own time, and when they leave; undefined where the plugin `deadlines` is not. */
export function signalOf (reply: FastifyReply): AbortSignal | undefined { return (reply as { call?: Call }).call?.signal }

/** Those that the handler itself named: what hooks add, they add to each answer. */
function varyOf ({ own, headers }: Captured): string | undefined {
  const vary = textOf(own['vary'] ?? undefined)
  return vary === undefined && headers['vary'] === '*' ? '*' : vary
}

function formOf (body: Captured['body']): Head['form'] {
  if (body === undefined) return 'none'
  return 'json' in body ? 'json' : 'text' in body ? 'text' : 'bytes'
}
