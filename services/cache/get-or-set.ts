import type { Caller } from './caller.js'
import type { EncodedValue } from './entry.js'
import type { Content } from './reading.js'

/**
 * Computes the value of a key. What it throws reaches the callers, unless a stale value or a fallback can be served. The signal that it is given is aborted
 * when all those have left who wait for the value: a loader that looks at it may stop then, and nobody gets what it throws. One that does not goes on, and
 * what it brings is kept.
 */
export type Loader<T> = (waiting: Caller) => Promise<T> | T

/**
 * What a loader answers in place of a value when it knows more about it: how it is written, how long it lives, and whether it is to be
 * kept at all. Of `getOrSet`, the value is what the text says.
 */
export class Ready {
  /** JSON text. */
  readonly encoded: EncodedValue
  /** Whether it is kept. Otherwise those who wait for it get it, and what was there before stays. */
  readonly isKept: boolean
  /** Seconds, Infinity never expires; 0 is stale at once, and of use only with a grace. */
  readonly ttl: number
  /** Seconds. */
  readonly grace: number

  constructor (encoded: EncodedValue, { isKept = true, ttl = Infinity, grace = 0 }: { isKept?: boolean, ttl?: number, grace?: number } = {}) {
    this.encoded = encoded
    this.isKept = isKept
    this.ttl = ttl
    this.grace = grace
  }
}

/** What a stale value may be used for: nothing, to stand in for one that cannot be loaded, or to be served while that is loaded. */
export type StaleUse = 'never' | 'on-error' | 'at-once'

export interface GetOrSetOptions<T = unknown> {
  /** Seconds up to a hundred years, or a function of the value; 0 (or Infinity) never expires, and below 0 it is over already. Default: the cache's. */
  ttl?: number | ((value: T, key: string) => number) | undefined
  /** Seconds that null (or undefined) lives when the loader answers it: that there is nothing is worth knowing too, if for less long. Default: as any value. */
  nullTtl?: number | undefined
  /** Default none. */
  tags?: readonly string[] | ((value: T, key: string) => readonly string[]) | undefined
  /** Seconds past the TTL during which the value is served when loading a new one fails, up to a hundred years. Default 0. */
  grace?: number | undefined
  /** Which faults of the loader a stale value or the fallback may stand in for. Default: all. A fault that is an answer ("there is none") is none of them. */
  graceOn?: ((error: unknown) => boolean) | undefined
  /**
   * What the stale value that is there may be used for, asked before anything is loaded. Default: to stand in for one that cannot be loaded.
   */
  staleUse?: ((stale: Content) => StaleUse) | undefined
  /** Seconds to leave the loader alone after it failed while a stale value is served. Default 1. */
  graceBackoff?: number | undefined
  /** What to answer when loading failed and there is no stale value either. It is not kept. Default: the error. */
  fallback?: ((error: unknown) => T) | undefined
  /** Milliseconds after which the callers get LoadTimeoutError; the load goes on, and its result is kept. Default 30 000. */
  timeout?: number | undefined
  /** Milliseconds after which a stale value is served, if there is one, while the load goes on. Default: only the hard limit. */
  softTimeout?: number | undefined
  /** Fraction of the TTL after which a hit starts a load in the background. Default 1: never. */
  refreshAfter?: number | undefined
  /**
   * XFetch (Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention"): a hit starts a load in the
   * background at random, the likelier the nearer the expiry is and the longer the last load of the key took in this process. 1 is the paper's
   * optimum, more is earlier. Default 0: never.
   */
  beta?: number | undefined
  /** Fraction of the TTL by which it is shortened at random, so that entries made together do not expire together. Default 0. */
  jitter?: number | undefined
  /**
   * Of the caller: once it is aborted the caller waits no longer, and the call fails with its reason. A load that others wait for as well goes on; one
   * that has not begun is not begun for nobody. Looked at only where something is waited for. Default: the caller never leaves.
   */
  signal?: AbortSignal | undefined
  /** Go past what is cached, and store what is loaded; who does so while a load is under way gets what that brings. Default false. */
  refresh?: boolean | undefined
  /**
   * Take a value that is frozen to its ends, and on a hit the same as other callers get, for none is copied then. Default false:
   * each caller may change what it gets.
   */
  shared?: boolean | undefined
  /**
   * Milliseconds until other processes take over when the one that loads for all of them dies, where a shared backend gives leases.
   * 0: each process loads for itself. Default 3000.
   */
  lease?: number | undefined
}

/** The options of values of any type, as far as they take values in. */
export type AnyOptions = Omit<GetOrSetOptions<never>, 'fallback'>

/** One for all calls that give none. */
export const NO_OPTIONS = Object.freeze({})
