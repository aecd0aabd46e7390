import type { RunTimeSettings } from '../schemas/config.js'
import { capabilities, checkNamespaceLimits } from './cache/backends/capabilities.js'
import type { BackendName } from './cache/backends/names.js'
import type { Limits, Quota } from './cache/limits.js'
import { checkQuotas, doFit } from './cache/quotas.js'
import type { SettingChanges } from './config-store.js'
import { InvalidInputError } from './errors.js'

/** What a caller wants of a quota: null for both takes it away, what is left out stays. */
export interface QuotaChanges { max_items?: number | null, max_memory?: number | null }

/** How a setting such as `cache.memory.quotas` has the quotas of all namespaces. */
export type QuotaSetting = RunTimeSettings['cache.memory.quotas']

/** The setting as the engine takes it. */
export function quotasOf (setting: QuotaSetting): ReadonlyMap<string, Quota> {
  return new Map(Object.entries(setting).map(([namespace, quota]) => [namespace, { maxItems: quota.max_items, maxMemory: quota.max_memory }]))
}

/** What a backend may hold, and what is reserved of it, as it is set. */
function storedLimits (settings: Readonly<RunTimeSettings>, backend: BackendName): Pick<Limits, 'maxItems' | 'maxMemory' | 'quotas'> {
  const given: Readonly<Record<string, unknown>> = settings
  const limit = (name: string): number => given[`cache.${backend}.${name}`] as number | null | undefined ?? Infinity
  return { maxItems: limit('max_items'), maxMemory: limit('max_memory'), quotas: quotasOf(settingOf(settings, backend)) }
}

/** The same without quotas that do not fit: what was stored together does, but a process's environment may give it less. */
export function fittingLimits (settings: Readonly<RunTimeSettings>, backend: BackendName): Pick<Limits, 'maxItems' | 'maxMemory' | 'quotas'> {
  const { quotas, ...limits } = storedLimits(settings, backend)
  return doFit({ ...limits, quotas }) ? { ...limits, quotas } : limits
}

/**
 * What changes in the settings with the quota of one namespace.
 * @throws InvalidInputError for half a quota · UnsupportedOperationError where the backend has none, or no room for it
 */
export function quotaChange (settings: Readonly<RunTimeSettings>, backend: BackendName, namespace: string, changes: QuotaChanges): SettingChanges {
  checkNamespaceLimits(backend)
  const current = settingOf(settings, backend)
  const quota = { ...Object.hasOwn(current, namespace) ? current[namespace] : {}, ...changes }
  const others = Object.entries(current).filter(([name]) => name !== namespace)
  const { max_items: maxItems, max_memory: maxMemory } = quota
  const name = `cache.${backend}.quotas`
  if ((maxItems ?? undefined) === undefined && (maxMemory ?? undefined) === undefined) return { [name]: Object.fromEntries(others) }
  if (typeof maxItems !== 'number' || typeof maxMemory !== 'number') {
    throw new InvalidInputError('A quota has both, max_items and max_memory: give both a number, or both null to take it away.')
  }
  const changed = { [name]: Object.fromEntries([...others, [namespace, { max_items: maxItems, max_memory: maxMemory }]]) }
  checkReserved({ ...settings, ...changed }, backend)
  return changed
}

/** @throws UnsupportedOperationError where more is reserved than the backend may hold */
export function checkReserved (settings: Readonly<RunTimeSettings>, backend: BackendName): void {
  if (capabilities[backend].noQuotas === undefined) checkQuotas(storedLimits(settings, backend))
}

function settingOf (settings: Readonly<RunTimeSettings>, backend: BackendName): QuotaSetting {
  const given: Readonly<Record<string, unknown>> = settings
  return given[`cache.${backend}.quotas`] as QuotaSetting | undefined ?? {}
}
