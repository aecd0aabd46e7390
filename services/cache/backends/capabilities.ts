import { isDurable, POLICIES, STRATEGIES, type Strategy } from '../entry.js'
import { UnsupportedOperationError } from '../errors.js'
import { isLimited, type Limits } from '../limits.js'
import type { BackendName } from './names.js'

/** What a backend can be asked for beyond keeping entries. Whatever it cannot do is refused in these words. */
export interface Capabilities {
  /** Those it can evict by. */
  readonly strategies: readonly Strategy[]
  /** Why it has no others, and what to do instead. */
  readonly noStrategy: string
  /** Those it can evict by while it has no limits of its own; undefined where it always has some. */
  readonly withoutLimits?: { readonly strategies: readonly Strategy[], readonly why: string }
  /** Why `max_items` and `max_memory` are not its own; undefined when they are. */
  readonly noLimits?: string
  /** Why it keeps no part of them for one namespace; undefined when it does. */
  readonly noQuotas?: string
}

/** Of every backend; what each can do is decided here alone. */
export const capabilities: Readonly<Record<BackendName, Capabilities>> = {
  memory: { strategies: STRATEGIES, noStrategy: '' },
  redis: {
    strategies: ['lru', 'lfu', 'fifo', 'ttl'],
    noStrategy: 'its index keeps one number for each entry. Use lru, lfu, fifo or ttl, or the memory backend.',
    withoutLimits: {
      strategies: ['lru'],
      why: 'without limits its server does so by its own maxmemory-policy. Set max_items or max_memory of redis first, or leave strategy out.'
    }
  },
  memcached: {
    noQuotas: 'its server knows no namespaces. Use another backend for that namespace.',
    strategies: ['lru'],
    noStrategy: 'its server does so by LRU alone. Leave strategy out, or use another backend.',
    noLimits: 'is its server\'s: start memcached with -m, and leave it out here.'
  },
  database: {
    strategies: ['lru', 'lfu', 'fifo', 'ttl'],
    noStrategy: 'that needs more than indexed columns tell. Use lru, lfu, fifo or ttl, or the memory backend.'
  },
  file: { strategies: POLICIES, noStrategy: '' }
}

/**
 * @param limits that the backend keeps to; left out, it is not asked whether they allow the strategy
 * @throws UnsupportedOperationError for a strategy that the backend cannot evict by
 */
export function checkStrategy (strategy: Strategy, backend: BackendName, limits?: Pick<Limits, 'maxItems' | 'maxMemory'>): void {
  const { strategies, noStrategy, withoutLimits } = capabilities[backend]
  if (isDurable(strategy) && !strategies.includes(strategy)) {
    throw new UnsupportedOperationError(`${strategy} keeps an entry in memory and in the durable tier behind it: use the memory backend, or leave strategy out.`)
  }
  const refuse = (why: string): never => { throw new UnsupportedOperationError(`The ${backend} backend cannot evict by ${strategy}: ${why}`) }
  if (!strategies.includes(strategy)) refuse(noStrategy)
  if (withoutLimits !== undefined && limits !== undefined && !isLimited(limits) && !withoutLimits.strategies.includes(strategy)) refuse(withoutLimits.why)
}

/**
 * @param name `max_items` or `max_memory`
 * @throws UnsupportedOperationError for a backend that keeps to no limits of its own
 */
export function checkLimit (name: string, backend: BackendName): void {
  const { noLimits } = capabilities[backend]
  if (noLimits !== undefined) throw new UnsupportedOperationError(`${name} of ${backend} ${noLimits}`)
}

/** @throws UnsupportedOperationError for a backend that reserves nothing for a namespace */
export function checkNamespaceLimits (backend: BackendName): void {
  const { noQuotas } = capabilities[backend]
  if (noQuotas !== undefined) throw new UnsupportedOperationError(`The ${backend} backend has no quotas: ${noQuotas}`)
}

/** @throws UnsupportedOperationError where a limit is to be taken away that the backend cannot do without */
export function checkUnlimited (name: string, backend: BackendName): void {
  checkLimit(name, backend)
  if (capabilities[backend].withoutLimits === undefined) throw new UnsupportedOperationError(`${name} of ${backend} has to be a number: it cannot do without.`)
}
