import { parseDirectives, secondsOf } from './directives.js'

/** What a request asks of caches, in `Cache-Control`, or in `Pragma` where it says nothing there (RFC 9111, sections 5.2.1 and 5.4). */
export interface Wish {
  /** Neither read nor write the cache. */
  readonly noStore: boolean
  /** Go past what is cached, and refresh it. */
  readonly noCache: boolean
  /** Answer from the cache, or not at all. */
  readonly onlyIfCached: boolean
  /** Seconds since the answer was made. */
  readonly maxAge: number | undefined
  /** Seconds that the answer must still be fresh for. */
  readonly minFresh: number | undefined
  /** Seconds that the answer may be stale for, Infinity for any; undefined where none may. */
  readonly maxStale: number | undefined
}

export const NO_WISH: Wish = { noStore: false, noCache: false, onlyIfCached: false, maxAge: undefined, minFresh: undefined, maxStale: undefined }

export function wishOf (cacheControl: string | undefined, pragma: string | undefined): Wish {
  if (cacheControl === undefined) return pragma !== undefined && parseDirectives(pragma).has('no-cache') ? { ...NO_WISH, noCache: true } : NO_WISH
  const directives = parseDirectives(cacheControl)
  return {
    noStore: directives.has('no-store'),
    noCache: directives.has('no-cache'),
    onlyIfCached: directives.has('only-if-cached'),
    maxAge: secondsOf(directives, 'max-age'),
    minFresh: secondsOf(directives, 'min-fresh'),
    maxStale: directives.get('max-stale') === null ? Infinity : secondsOf(directives, 'max-stale')
  }
}
