import type { CacheGetReply, CacheIncrementReply, CacheItem, CacheSetReply, CacheTouchReply, CacheDeleteReply, NewCacheEntry } from '../../../schemas/cache.js'
import type { CacheEntryProblem } from '../../../schemas/cache-batches.js'
import type { Static } from '@sinclair/typebox'
import type { Api } from '../../api.js'
import { ProblemError } from '../../problem-error.js'
import { queryOf, type Place } from './place.js'

interface Outcome { success: boolean, result?: { found: boolean, cache_item?: CacheItem }, error?: CacheEntryProblem }

/** What a write asks of the entry that is there: none may be, exactly this version, or anything. */
export type Condition = { absent: true } | { version: string } | undefined

const headersOf = (condition: Condition): Record<string, string> =>
  condition === undefined ? {} : 'absent' in condition ? { 'if-none-match': '*' } : { 'if-match': `"${condition.version}"` }

/** A path cannot say these: they are steps in it, however they are written. */
const isStep = (key: string): boolean => key === '.' || key === '..'

async function alone (api: Api, path: string, place: Place, key: string, signal?: AbortSignal): Promise<NonNullable<Outcome['result']>> {
  const { results: [outcome] } = await api.post<{ results: Outcome[] }>(path, { query: queryOf(place), body: [key], ...signal && { signal } })
  if (outcome?.error !== undefined) throw new ProblemError(outcome.error.status, outcome.error)
  return outcome?.result ?? { found: false }
}

/** The entry, undefined when there is none. Counts as a read. */
export async function readEntry (api: Api, place: Place, key: string, signal?: AbortSignal): Promise<CacheItem | undefined> {
  if (isStep(key)) return (await alone(api, '/api/cache/get-batch', place, key, signal)).cache_item
  const reply = await api.get<CacheGetReply>(`/api/cache/get/${encodeURIComponent(key)}`, { query: queryOf(place), ...signal && { signal } })
  return reply.found ? reply.cache_item : undefined
}

export async function storeEntry (api: Api, place: Place, entry: NewCacheEntry, condition: Condition): Promise<CacheSetReply> {
  return await api.post<CacheSetReply>('/api/cache/set', { query: queryOf(place), body: entry, headers: headersOf(condition) })
}

/** @returns whether there was one */
export async function deleteEntry (api: Api, place: Place, key: string, condition: Condition): Promise<boolean> {
  if (isStep(key)) return (await alone(api, '/api/cache/delete-batch', place, key)).found
  const reply = await api.delete<Static<typeof CacheDeleteReply>>(`/api/cache/delete/${encodeURIComponent(key)}`, { query: queryOf(place), headers: headersOf(condition) })
  return reply.found
}

/** @returns whether there was one */
export async function touchEntry (api: Api, place: Place, key: string, ttl: number): Promise<boolean> {
  return (await api.post<CacheTouchReply>('/api/cache/touch', { query: queryOf(place), body: { key, ttl } })).found
}

/** @returns what the counter is then */
export async function incrementEntry (api: Api, place: Place, key: string, by: number): Promise<number> {
  return (await api.post<Static<typeof CacheIncrementReply>>('/api/cache/increment', { query: queryOf(place), body: { key, by } })).value
}
