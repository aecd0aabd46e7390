import type { RunTimeSettings } from '../schemas/config.js'
import { checkQuotas } from './cache/backends/memory/pools.js'
import { DEFAULT_LIMITS, type Quota } from './cache/limits.js'
import { InvalidInputError } from './errors.js'

/** How the setting `cache.memory.quotas` has the quota of a namespace. */
export type QuotaSetting = RunTimeSettings['cache.memory.quotas'][string]

/** What a caller wants of it: null for both takes it away, what is left out stays. */
export interface QuotaChanges { max_items?: number | null, max_memory?: number | null }

/** The setting as the engine takes it. */
export function quotasOf (settings: RunTimeSettings['cache.memory.quotas']): ReadonlyMap<string, Quota> {
  return new Map(Object.entries(settings).map(([namespace, quota]) => [namespace, { maxItems: quota.max_items, maxMemory: quota.max_memory }]))
}

/**
 * The setting after the change of one namespace.
 * @throws InvalidInputError for half a quota · UnsupportedOperationError where the backend has no room for it
 */
export function changedQuotas (settings: Readonly<RunTimeSettings>, namespace: string, changes: QuotaChanges): RunTimeSettings['cache.memory.quotas'] {
  const current = settings['cache.memory.quotas']
  const quota = { ...Object.hasOwn(current, namespace) ? current[namespace] : {}, ...changes }
  const others = Object.entries(current).filter(([name]) => name !== namespace)
  const { max_items: maxItems, max_memory: maxMemory } = quota
  if ((maxItems ?? undefined) === undefined && (maxMemory ?? undefined) === undefined) return Object.fromEntries(others)
  if (typeof maxItems !== 'number' || typeof maxMemory !== 'number') {
    throw new InvalidInputError('A quota has both, max_items and max_memory: give both a number, or both null to take it away.')
  }
  const quotas = Object.fromEntries([...others, [namespace, { max_items: maxItems, max_memory: maxMemory }]])
  checkReserved({ ...settings, 'cache.memory.quotas': quotas })
  return quotas
}

/** @throws UnsupportedOperationError where more is reserved than memory may hold */
export function checkReserved (settings: Readonly<RunTimeSettings>): void {
  checkQuotas({
    ...DEFAULT_LIMITS,
    maxItems: settings['cache.memory.max_items'],
    maxMemory: settings['cache.memory.max_memory'],
    quotas: quotasOf(settings['cache.memory.quotas'])
  })
}
