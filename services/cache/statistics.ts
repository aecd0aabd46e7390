/** What happened in one namespace since the start. */
export interface Counters {
  hits: number
  /** Of the hits, those answered from the memory tier. */
  memoryHits: number
  misses: number
  /** Answers with a value past its TTL. */
  stale: number
  sets: number
  deletes: number
  invalidations: number
  loads: number
  loadFailures: number
  /** Calls that waited for someone else's load: stampedes avoided. */
  coalesced: number
}

/** Namespaces counted one by one; the rest are counted together, since callers name namespaces as they like. */
const BOUND = 10_000

/** Plain counters by namespace, read when somebody asks. */
export class CountersByNamespace<C extends { [name in keyof C]: number }> {
  #none: () => C
  #counters = new Map<string, C>()
  #rest: C
  #lastName = ''
  #last: C

  /** @param none the counters of a namespace in which nothing happened yet */
  constructor (none: () => C) {
    this.#none = none
    this.#rest = none()
    this.#last = this.#rest
  }

  of (namespace: string): C {
    if (namespace === this.#lastName) return this.#last
    let counters = this.#counters.get(namespace)
    if (counters === undefined) {
      if (this.#counters.size >= BOUND) return this.#rest
      counters = this.#none()
      this.#counters.set(namespace, counters)
    }
    this.#lastName = namespace
    this.#last = counters
    return counters
  }

  /** Those counted one by one, in the order in which they came. */
  get names (): Iterable<string> { return this.#counters.keys() }

  /** One namespace's counts, or the sum of all. */
  read (namespace?: string): C {
    if (namespace !== undefined) return { ...this.#counters.get(namespace) ?? this.#none() }
    const sum = this.#none()
    for (const counters of [this.#rest, ...this.#counters.values()]) {
      for (const name of Object.keys(sum) as (keyof C)[]) (sum[name] as number) += counters[name]
    }
    return sum
  }
}

/** What a cache counts. */
export class Statistics extends CountersByNamespace<Counters> {
  constructor () {
    super(() => ({
      hits: 0, memoryHits: 0, misses: 0, stale: 0, sets: 0, deletes: 0, invalidations: 0, loads: 0, loadFailures: 0, coalesced: 0
    }))
  }
}
