import type { Reading } from '../cache/reading.js'
import { structuredString } from '../structured-string.js'

/** Why a request went on to its origin, in the words of RFC 9211. */
export type Forwarded = 'miss' | 'vary-miss' | 'stale' | 'bypass' | 'request'

type Told = Partial<Pick<Reading<unknown>, 'stored' | 'isAway' | 'status'>>

/** `larder; hit; ttl=117; key="GET:/api/posts/"`. What is stale has a negative TTL. */
export function hitStatus (ttl: number, key: string): string {
  return `larder; hit${ttl === Infinity ? '' : `; ttl=${Math.floor(ttl)}`}; key=${structuredString(key)}`
}

/** `larder; fwd=miss; stored; key="GET:/api/posts/"`. A collapsed request waited for the answer to another. */
export function forwardedStatus (why: Forwarded, { stored, isAway, status }: Told, key: string | undefined, detail?: string): string {
  const forwarded = isAway === true ? 'bypass' : why
  const told = isAway === true ? 'backend-down' : detail
  return `larder; fwd=${forwarded}${stored === true ? '; stored' : ''}${status === 'coalesced' ? '; collapsed' : ''}` +
    `${key === undefined ? '' : `; key=${structuredString(key)}`}${told === undefined ? '' : `; detail=${structuredString(told)}`}`
}

/** What happened to a reading. @param why it went on to the origin, where it did */
export function readingStatus (reading: Told & { ttl: number }, key: string, why: Forwarded = 'miss'): string {
  return isFromCache(reading) ? hitStatus(reading.ttl, key) : forwardedStatus(why, reading, key)
}

/** Whether the cache had it, fresh or stale. */
export const isFromCache = ({ status }: Told): boolean => status === 'hit' || status === 'stale'
