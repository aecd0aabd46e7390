import fp from 'fastify-plugin'
import type { Cache } from '../services/cache/cache.js'
import { checkStrategy } from '../services/cache/backends/capabilities.js'
import { UnsupportedOperationError } from '../services/cache/errors.js'
import type { EntryDefaults, Limits } from '../services/cache/limits.js'
import type { RetryPolicy } from '../services/cache/retry.js'
import type { AtRest } from '../services/cache/record-format.js'
import type { Overrides, SettingChanges } from '../services/config-store.js'
import { parseRates } from '../services/limits/rates.js'
import { checkReserved, type QuotaSetting, quotasOf } from '../services/quotas.js'
import type {} from './cache.js'
import type {} from './config-store.js'
import type {} from './rate-limit.js'
import type {} from './retry.js'

export interface SettingsPluginOptions {
  /** What the environment says. */
  initial: SettingChanges
}

/** Applies the run-time settings to what they are about: at the start, and at each change. */
export default fp<SettingsPluginOptions>(async function settings (app, { initial }) {
  const apply = (changes: SettingChanges) => {
    if (changes['log.level'] !== undefined) app.log.level = changes['log.level']
    if (changes['rate_limits.requests'] !== undefined) app.rateLimits.change('requests', parseRates(changes['rate_limits.requests']))
    if (changes['rate_limits.failed_logins'] !== undefined) app.rateLimits.change('failedLogins', parseRates(changes['rate_limits.failed_logins']))
    app.retries.configure(policyFor(changes))
    for (const cache of app.caches.all()) {
      const limits = limitsFor(cache.backend, changes)
      if (Object.keys(limits).length > 0) configure(cache, limits)
    }
    for (const { backend, format } of app.formats) format.configure(atRestFor(backend, changes))
  }
  const applyOverrides = (overrides: Overrides) => {
    for (const cache of app.caches.all()) cache.configureNamespaces(ofNamespaces(overrides, (own) => defaultsFor(cache.backend, own)))
    for (const { backend, format, isServed } of app.formats) if (isServed) format.configureNamespaces(ofNamespaces(overrides, (own) => atRestFor(backend, own)))
  }
  const configure = (cache: Cache, limits: Partial<Limits>) => {
    try {
      cache.configure(limits)
    } catch (err) {
      if (!(err instanceof UnsupportedOperationError)) throw err
      // What was stored together fits together; this process's environment may still give it less.
      app.log.error({ err, backend: cache.backend }, 'The quotas are left out: they do not fit into the limits of the backend')
      cache.configure({ ...limits, quotas: new Map() })
    }
  }
  const isEncrypted = (backend: Cache['backend'], settings: SettingChanges, overrides: Overrides): boolean =>
    [settings, ...overrides.values()].some((each) => atRestFor(backend, each).encryption === true)
  const keyless = () => app.formats.filter(({ backend, format }) => !format.hasKeys && isEncrypted(backend, app.configStore.all(), app.configStore.overrides))
    .map(({ backend }) => `cache.${backend}.encryption_enabled`)

  // Over `/config` and `/api/cache/config` alike.
  app.configStore.check((settings, changed, overrides) => {
    const isChanged = (backend: string): boolean => changed.some((name) => name.startsWith(`cache.${backend}.`))
    for (const { backend } of app.caches.all()) {
      if (!isChanged(backend)) continue
      checkReserved(settings, backend)
      for (const each of [settings, ...overrides.values()]) checkDefaultStrategy(backend, each, settings)
    }
    for (const { backend, format } of app.formats) {
      if (changed.includes(`cache.${backend}.encryption_enabled`) && !format.hasKeys && isEncrypted(backend, settings, overrides)) {
        throw new UnsupportedOperationError('Encryption needs a key: set CACHE_ENCRYPTION_KEY and restart.')
      }
    }
  })
  apply(app.configStore.all())
  applyOverrides(app.configStore.overrides)
  const unheeded = [...new Set(app.formats.map(({ backend }) => backend))].flatMap((backend) => unheededFor(backend, initial, app.configStore.all()))
  if (unheeded.length > 0) {
    app.log.warn({ settings: unheeded.map(({ setting }) => setting) },
      `What is stored wins over the environment: ${unheeded.map(({ text }) => text).join('; ')} (POST /api/cache/config changes what is stored)`)
  }
  app.addHook('onClose', app.configStore.on((changes, overrides) => {
    apply(changes)
    if (overrides !== undefined) applyOverrides(overrides)
    for (const setting of keyless()) app.log.error({ setting }, 'nothing is stored there: entries are to be encrypted, and this process has no key (set CACHE_ENCRYPTION_KEY and restart)')
  }))
}, { name: 'settings', fastify: '5.x', dependencies: ['config-store', 'cache', 'retry', 'rate-limit'] })

/** Seconds there, milliseconds here. */
function policyFor (changes: SettingChanges): Partial<RetryPolicy> {
  const inMilliseconds = (seconds: number | undefined) => seconds === undefined ? undefined : seconds * 1000
  const policy = {
    attempts: changes['retry.attempts'],
    baseDelay: inMilliseconds(changes['retry.base_delay']),
    maxDelay: inMilliseconds(changes['retry.max_delay']),
    deadline: inMilliseconds(changes['retry.deadline']),
    trials: changes['retry.trials']
  }
  return Object.fromEntries(Object.entries(policy).filter(([, value]) => value !== undefined))
}

function limitsFor (backend: Cache['backend'], changes: SettingChanges): Partial<Limits> {
  // A backend has only those of the settings that it can keep to.
  const given: Record<string, unknown> = changes
  const limits = {
    ...defaultsFor(backend, changes),
    cleanupInterval: given[`cache.${backend}.cleanup_interval`],
    maxMemory: orInfinity(given[`cache.${backend}.max_memory`]),
    maxItems: orInfinity(given[`cache.${backend}.max_items`]),
    quotas: given[`cache.${backend}.quotas`] === undefined ? undefined : quotasOf(given[`cache.${backend}.quotas`] as QuotaSetting)
  }
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined))
}

/** What entries get whose writer says nothing. */
function defaultsFor (backend: Cache['backend'], changes: SettingChanges): Partial<EntryDefaults> {
  const given: Record<string, unknown> = changes
  const defaults = { strategy: given[`cache.${backend}.strategy`], defaultTtl: given[`cache.${backend}.default_ttl`] }
  return Object.fromEntries(Object.entries(defaults).filter(([, value]) => value !== undefined))
}

/** Of each namespace what a part of the service lives by; those that have none of it are left out. */
function ofNamespaces<T extends object> (overrides: Overrides, pick: (own: SettingChanges) => T): ReadonlyMap<string, T> {
  return new Map([...overrides].map(([namespace, own]) => [namespace, pick(own)] as const).filter(([, own]) => Object.keys(own).length > 0))
}

/** @throws UnsupportedOperationError for a strategy that the backend cannot evict by under the limits that are set for it */
function checkDefaultStrategy (backend: Cache['backend'], changes: SettingChanges, settings: SettingChanges): void {
  const { strategy } = defaultsFor(backend, changes)
  const { maxItems = Infinity, maxMemory = Infinity } = limitsFor(backend, settings)
  if (strategy !== undefined) checkStrategy(strategy, backend, { maxItems, maxMemory })
}

/** What somebody who reads the environment alone would believe to be done to entries outside the process, and is not. */
function unheededFor (backend: Cache['backend'], initial: SettingChanges, stored: SettingChanges): { setting: string, text: string }[] {
  const [wanted, applied] = [atRestFor(backend, initial), atRestFor(backend, stored)]
  return (['compression', 'encryption'] as const).filter((name) => wanted[name] === true && applied[name] === false).map((name) => {
    const setting = `cache.${backend}.${name}_enabled`
    return { setting, text: `${setting}=false over CACHE_${name.toUpperCase()}_ENABLED=true` }
  })
}

/** Null stands for no limit. */
const orInfinity = (limit: unknown): unknown => limit === null ? Infinity : limit

/** What is done to entries of a backend outside the process. */
export function atRestFor (backend: Cache['backend'], changes: SettingChanges): Partial<AtRest> {
  const given: Record<string, unknown> = changes
  const [compression, encryption] = [given[`cache.${backend}.compression_enabled`], given[`cache.${backend}.encryption_enabled`]]
  return { ...(typeof compression === 'boolean' && { compression }), ...(typeof encryption === 'boolean' && { encryption }) }
}
