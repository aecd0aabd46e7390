import type { FastifyRequest } from 'fastify'
import { sortedQuery, variantKey } from '../services/response-cache/response-key.js'
import { textOf } from '../services/response-cache/storing.js'
import { NO_WISH, type Wish, wishOf } from '../services/http-cache/wish.js'
import { groupList } from '../services/structured-string.js'
import type { CachedRoute } from './response-cache.js'

/** What a request to a cached route asks for: its wishes, and the keys that its response is under. */
export class Asked {
  readonly request: FastifyRequest
  readonly wish: Wish
  /** Whether it carries a credential, and the route does not say whom its answers are for. */
  readonly isCredentialed: boolean
  /** The key as it is told, and what stands in it for the route alone. Empty until `nameIt`. */
  name = ''
  path = ''
  /** Under which this request's response is. */
  key = ''
  /** The headers that the response turned out to vary by; undefined as long as nothing is known of that. */
  variants: readonly string[] | undefined
  readonly #route: CachedRoute
  readonly #identify: (request: FastifyRequest) => string

  constructor (route: CachedRoute, request: FastifyRequest, identify: (request: FastifyRequest) => string) {
    const { authorization, cookie, pragma, 'cache-control': cacheControl, 'x-api-key': apiKey } = request.headers
    this.request = request
    this.#route = route
    this.#identify = identify
    this.wish = cacheControl === undefined && pragma === undefined ? NO_WISH : wishOf(cacheControl, pragma)
    this.isCredentialed = route.for === undefined && (authorization !== undefined || apiKey !== undefined || cookie !== undefined)
  }

  /** Works out the keys. */
  nameIt (): void {
    const route = this.#route
    const url = this.request.raw.url as string
    this.path = route.keys.path(url, this.request.params)
    if (route.constraints !== '') this.path += `${route.constraints} ${this.request.host}`
    this.name = url.includes('?') ? this.path + sortedQuery(url) : this.path
    this.key = this.base
  }

  /** Takes up that the response varies by these headers: it is under another key. */
  varyBy (names: readonly string[]): void {
    this.variants = names
    this.key = this.variantKey
  }

  get variantKey (): string { return variantKey(this.base, [...this.variants!, ...this.#valuesOf(this.variants!)]) }

  /** The key before its variants were known. */
  get base (): string {
    const { vary, for: whom } = this.#route
    if (whom !== 'caller' && vary.length === 0) return this.name
    return variantKey(this.name, [...this.#valuesOf(vary), whom === 'caller' ? this.#identify(this.request) : undefined])
  }

  /** Whether responses are kept may depend on the credential alone. */
  get apartName (): string { return this.isCredentialed ? `${this.key} with a credential` : this.key }

  /** Whether the address itself asks to go past the cache: `?nocache=true`. */
  get isPast (): boolean {
    const { nocache } = this.request.query as { nocache?: unknown }
    return nocache === true || nocache === 'true'
  }

  /** What the response is stored with: the route's own tags, and the keys that drop it as well. */
  get tags (): readonly string[] {
    const own = this.#groups
    if (this.key === this.path) return own
    const names = [...own, this.path]
    if (this.name !== this.path && this.key !== this.name) names.push(this.name)
    return names
  }

  /** The route's own tags as `Cache-Groups`; undefined where there are none. */
  get groupHeader (): string | undefined {
    const groups = this.#groups
    return groups.length === 0 ? undefined : groupList(groups)
  }

  get #groups (): readonly string[] {
    const { tags } = this.#route
    return typeof tags === 'function' ? tags(this.request) : tags ?? []
  }

  #valuesOf (names: readonly string[]): (string | undefined)[] {
    // Two ways to list the same are told apart: what they mean, only the route knows.
    return names.map((name) => textOf(this.request.headers[name])?.trim().replace(/\s*,\s*/g, ', '))
  }
}
