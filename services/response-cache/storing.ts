import { LONGEST, parseDirectives, secondsOf } from '../http-cache/directives.js'
import { parseHttpDate } from '../http-cache/http-date.js'

export type HeaderValue = string | number | string[]
export type Headers = Readonly<Record<string, HeaderValue | undefined>>

/** What decides on storing, beside the response itself. */
export interface Storing {
  /** Seconds for which a response is fresh that does not say it, Infinity for ever. */
  ttl: number
  /** Seconds for which a stale response may be served while a new one is made, and in place of an error; the response's own win. */
  staleWhileRevalidate: number
  staleIfError: number
  /** Whether it is kept for its caller alone. */
  isPrivate: boolean
  /** Whether the request carried a credential, and the route does not say that its answer is the same for everybody. */
  isCredentialed: boolean
  /** Seconds that the response took to make. */
  delay: number
  /** Milliseconds since the epoch. */
  now: number
}

/** A response that may be kept. Seconds. */
export interface Keeping {
  ttl: number
  /** Of the response when it was made: it may have come from another cache. */
  age: number
  staleWhileRevalidate: number
  staleIfError: number
  mustRevalidate: boolean
  /** Whether it says that it is for everybody, whoever asks. */
  isOpen: boolean
  /** The headers that it varies by, in lower case and sorted. */
  vary: readonly string[]
}

/** Why a response is not kept, as `Cache-Status` says it. */
export type Refusal = 'status' | 'set-cookie' | 'no-store' | 'private' | 'no-cache' | 'vary' | 'credentials' | 'no-lifetime' | 'not-whole'

/** Whether, and for how long, a cache may keep a response (RFC 9111, section 3; RFC 5861). */
export function judge (status: number, headers: Headers, storing: Storing): Keeping | Refusal {
  if (status !== 200) return 'status'
  if (headers['set-cookie'] !== undefined) return 'set-cookie'
  const directives = parseDirectives(textOf(headers['cache-control']))
  if (directives.has('no-store')) return 'no-store'
  if (directives.has('private') && !storing.isPrivate) return 'private'
  // It would have to be made anew for each use, which is what a miss does.
  if (directives.has('no-cache')) return 'no-cache'
  const vary = fieldNames(textOf(headers['vary']))
  if (vary.includes('*')) return 'vary'
  const sharedAge = storing.isPrivate ? undefined : secondsOf(directives, 's-maxage')
  const isOpen = directives.has('public') || sharedAge !== undefined || directives.has('must-revalidate')
  if (storing.isCredentialed && !storing.isPrivate && !isOpen) return 'credentials'

  const age = ageOf(headers)
  const lifetime = sharedAge ?? secondsOf(directives, 'max-age') ?? untilExpires(headers, storing.now)
  const keeping = {
    ttl: lifetime === undefined ? atMost(storing.ttl) : Math.max(0, atMost(lifetime) - age - storing.delay),
    age,
    staleWhileRevalidate: secondsOf(directives, 'stale-while-revalidate') ?? Math.min(storing.staleWhileRevalidate, LONGEST),
    staleIfError: secondsOf(directives, 'stale-if-error') ?? Math.min(storing.staleIfError, LONGEST),
    mustRevalidate: directives.has('must-revalidate') || (!storing.isPrivate && (directives.has('proxy-revalidate') || sharedAge !== undefined)),
    isOpen,
    vary
  }
  return keeping.ttl <= 0 && graceFor(keeping) <= 0 ? 'no-lifetime' : keeping
}

/** `Expires` may name the year 9999: that is long, and no fault. */
const atMost = (seconds: number): number => seconds === Infinity ? seconds : Math.min(seconds, LONGEST)

/** Seconds past its TTL for which a response is kept, the last second of its use included. */
export function graceFor ({ mustRevalidate, staleWhileRevalidate, staleIfError }: Pick<Keeping, 'mustRevalidate' | 'staleWhileRevalidate' | 'staleIfError'>): number {
  const useful = mustRevalidate ? 0 : Math.max(staleWhileRevalidate, staleIfError)
  return useful > 0 ? useful + 1 : 0
}

/** Lower case, sorted, each once. */
export function fieldNames (list: string | undefined): string[] {
  if (list === undefined) return []
  return [...new Set(list.toLowerCase().split(',').map((name) => name.trim()).filter((name) => name !== ''))].sort()
}

export function textOf (value: HeaderValue | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value === undefined ? undefined : String(value)
}

function ageOf (headers: Headers): number {
  // Of several the first counts (section 5.1); what is no number is passed over.
  const age = textOf(headers['age'])?.split(',', 1)[0]?.trim()
  return age !== undefined && /^\d+$/.test(age) ? Number(age) : 0
}

/** What is no date has expired (RFC 9111, section 5.3). */
function untilExpires (headers: Headers, now: number): number | undefined {
  const expires = textOf(headers['expires'])
  if (expires === undefined) return undefined
  const at = parseHttpDate(expires)
  const date = parseHttpDate(textOf(headers['date']))
  return Number.isNaN(at) ? 0 : Math.max(0, (at - (Number.isNaN(date) ? now : date)) / 1000)
}
