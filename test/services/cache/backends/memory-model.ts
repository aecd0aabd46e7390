import fc from 'fast-check'
import { MemoryBackend, type VisitedEntry } from '../../../../services/cache/backends/memory.js'
import { NO_TAGS, sizeOf, STRATEGIES, type Strategy } from '../../../../services/cache/entry.js'
import { type Invalidation, Ledger } from '../../../../services/cache/ledger.js'
import { DEFAULT_LIMITS, type Limits, type Quota } from '../../../../services/cache/limits.js'
import { ManualClock } from '../setup.js'

const NAMESPACES = ['a', 'b', '__proto__']
const KEYS = Array.from({ length: 16 }, (_, at) => `k${at}`)
const TAGS = ['t1', 't2']

interface Written { value: string, expiresAt: number, goneAt: number, tags: readonly string[], strategy: Strategy }

/** What can be done to a backend, as data: fast-check makes sequences of these, and makes those that fail shorter. */
export type Step =
  | { do: 'put', namespace: string, key: string, length: number, ttl: number, grace: number, tags: readonly string[], metadata: boolean, strategy: Strategy }
  | { do: 'get' | 'delete', namespace: string, key: string }
  | { do: 'expire', namespace: string, key: string, ttl: number }
  | { do: 'wait', milliseconds: number }
  | { do: 'invalidate', namespace: string, what: Invalidation }
  | { do: 'configure', maxItems: number, maxMemory: number, waits: boolean }
  | { do: 'quota', namespace: string, share: number, waits: boolean }
  | { do: 'sweep' }

const place = { namespace: fc.constantFrom(...NAMESPACES), key: fc.constantFrom(...KEYS) }
const put = fc.record({
  do: fc.constant('put' as const),
  ...place,
  length: fc.oneof({ weight: 9, arbitrary: fc.nat(400) }, { weight: 1, arbitrary: fc.nat(9000) }),
  ttl: fc.oneof(fc.constant(Infinity), fc.nat(50)),
  grace: fc.constantFrom(0, 0, 30),
  tags: fc.oneof(fc.constant(NO_TAGS), fc.subarray(TAGS)),
  metadata: fc.boolean(),
  strategy: fc.constantFrom(...STRATEGIES)
})
const what = fc.oneof(
  fc.record({ tags: fc.subarray(TAGS, { minLength: 1 }), soft: fc.boolean() }),
  fc.record({ pattern: fc.constantFrom('k1*', '*2', '*'), soft: fc.boolean() }),
  fc.record({ all: fc.constant(true), soft: fc.boolean() })
)
/** Sequences of steps in which writes prevail, so that limits are reached. */
export const steps: fc.Arbitrary<Step[]> = fc.array(fc.oneof<fc.MaybeWeightedArbitrary<Step>[]>(
  { weight: 12, arbitrary: put },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('get' as const, 'get' as const, 'delete' as const), ...place }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('expire' as const), ...place, ttl: fc.nat(60) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), milliseconds: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('invalidate' as const), namespace: place.namespace, what }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('configure' as const), maxItems: fc.integer({ min: 1, max: 30 }), maxMemory: fc.integer({ min: 600, max: 20_000 }), waits: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('quota' as const), namespace: place.namespace, share: fc.nat(10), waits: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('sweep' as const) }) }
), { maxLength: 150, size: 'max' })

/** A backend beside a simple model of it. Which entry is evicted is the policies' affair: the model learns it from the backend. */
export class Modelled {
  #clock = new ManualClock()
  #ledger = new Ledger()
  #limits: Limits = { ...DEFAULT_LIMITS, maxItems: 20, maxMemory: 12_000, quotas: new Map<string, Quota>() }
  #memory = new MemoryBackend({ now: this.#clock.now, ledger: this.#ledger, limits: this.#limits })
  #model = new Map<string, Written>()
  #version = 0
  #isSettled = true

  async run (sequence: readonly Step[]): Promise<void> {
    for (const step of sequence) {
      const before = { items: this.#memory.items, bytes: this.#memory.bytes }
      await this.#take(step)
      this.#checkLimits(before)
      await this.#checkEntries()
    }
    await this.#memory.settled()
    this.#isSettled = true
    this.#checkLimits({ items: 0, bytes: 0 })
    this.#memory.reset()
    expect(this.#memory.items === 0 && this.#memory.bytes === 0 && !this.#memory.holds('a'), 'something is left')
  }

  async #take (step: Step): Promise<void> {
    switch (step.do) {
      case 'put': { this.#put(step); return }
      case 'get': {
        const slot = this.#memory.find(step.namespace, step.key)
        if (slot !== -1) this.#memory.touch(slot)
        return
      }
      case 'delete': {
        this.#memory.delete(step.namespace, step.key)
        this.#model.delete(nameOf(step))
        expect(this.#memory.find(step.namespace, step.key) === -1, 'what was deleted is there')
        return
      }
      case 'expire': { this.#expire(step); return }
      case 'wait': { this.#clock.at += step.milliseconds; return }
      case 'invalidate': { this.#invalidate(step); return }
      case 'sweep': { await this.#memory.sweep(); return }
      case 'configure': { await this.#configure({ ...this.#limits, maxItems: step.maxItems, maxMemory: step.maxMemory }, step.waits); return }
      case 'quota': {
        const quotas = new Map(this.#limits.quotas)
        if (step.share === 0) quotas.delete(step.namespace)
        else quotas.set(step.namespace, { maxItems: Math.ceil(this.#limits.maxItems * step.share / 20), maxMemory: Math.floor(this.#limits.maxMemory * step.share / 20) })
        await this.#configure({ ...this.#limits, quotas }, step.waits)
      }
    }
  }

  #put ({ namespace, key, length, ttl, grace, tags, metadata, strategy }: Step & { do: 'put' }): void {
    const value = String(this.#version).padEnd(length, 'x')
    const expiresAt = this.#clock.at + ttl
    const written = { value, expiresAt, goneAt: expiresAt + grace, tags, strategy }
    const size = sizeOf(key, value, tags, metadata ? '{"m":1}' : undefined)
    const pool = this.#limitsOf(namespace)
    const others = this.#evictions(namespace)
    try {
      this.#memory.put({
        ...written,
        namespace,
        key,
        dataType: 'string',
        metadata: metadata ? '{"m":1}' : undefined,
        createdAt: this.#clock.at,
        accessedAt: this.#clock.at,
        accessCount: 0,
        version: ++this.#version,
        stamp: this.#ledger.stamp
      })
      expect(size <= pool.maxMemory && pool.maxItems > 0, 'an entry was taken for which there is no room')
      this.#model.set(nameOf({ namespace, key }), written)
      expect(written.goneAt <= this.#clock.at || this.#memory.find(namespace, key) !== -1, 'what was just written is not there')
    } catch (error) {
      const status = (error as { statusCode?: number }).statusCode
      expect((status === 413 && size > pool.maxMemory) || (status === 507 && pool.maxItems === 0), String(error))
    }
    if (this.#isSettled) expect(this.#evictions(namespace) === others, 'the write took room from another pool')
  }

  #expire ({ namespace, key, ttl }: Step & { do: 'expire' }): void {
    const slot = this.#memory.find(namespace, key)
    if (slot === -1) return
    const expiresAt = this.#clock.at + ttl
    this.#memory.expire(slot, expiresAt, expiresAt)
    Object.assign(this.#model.get(nameOf({ namespace, key })) as Written, { expiresAt, goneAt: expiresAt })
  }

  #invalidate ({ namespace, what }: Step & { do: 'invalidate' }): void {
    this.#ledger.record(namespace, what)
    for (const [name, entry] of this.#model) {
      const [space, key] = name.split(' ') as [string, string]
      const isMeant = what.all === true || what.tags?.some((tag) => entry.tags.includes(tag)) === true || isMatch(what.pattern, key)
      if (space !== namespace || !isMeant) continue
      if (what.soft === true && entry.goneAt !== entry.expiresAt && entry.goneAt > this.#clock.at) entry.expiresAt = Math.min(entry.expiresAt, this.#clock.at)
      else this.#model.delete(name)
    }
  }

  async #configure (limits: Limits, waits: boolean): Promise<void> {
    const reserved = [...limits.quotas?.values() ?? []]
    const isTooMuch = reserved.reduce((sum, { maxItems }) => sum + maxItems, 0) > limits.maxItems ||
      reserved.reduce((sum, { maxMemory }) => sum + maxMemory, 0) > limits.maxMemory
    let wasRefused = false
    try {
      this.#memory.configure(limits)
      this.#limits = limits
    } catch (error) {
      wasRefused = (error as { statusCode?: number }).statusCode === 422
    }
    expect(wasRefused === isTooMuch, `quotas ${isTooMuch ? 'that do not fit were taken' : 'that fit were refused'}`)
    if (!waits) {
      this.#isSettled = false
      return
    }
    await this.#memory.settled()
    this.#isSettled = true
  }

  #limitsOf (namespace: string): Quota {
    const quota = this.#limits.quotas?.get(namespace)
    if (quota !== undefined) return quota
    const common = { maxItems: this.#limits.maxItems, maxMemory: this.#limits.maxMemory }
    for (const { maxItems, maxMemory } of this.#limits.quotas?.values() ?? []) {
      common.maxItems -= maxItems
      common.maxMemory -= maxMemory
    }
    return common
  }

  /** What left the namespaces that share no limits with this one. */
  #evictions (namespace: string): number {
    const hasQuota = (name: string): boolean => this.#limits.quotas?.has(name) === true
    const others = NAMESPACES.filter((name) => name !== namespace && (hasQuota(name) || hasQuota(namespace)))
    return others.reduce((sum, name) => sum + this.#memory.counters(name).evictions, 0)
  }

  /** While lower limits are being reached, nothing makes more of what is too much. */
  #checkLimits (before: { items: number, bytes: number }): void {
    const { items, bytes } = this.#memory
    const isWithin = items <= this.#limits.maxItems && bytes <= this.#limits.maxMemory
    expect(isWithin || (!this.#isSettled && items <= Math.max(before.items, this.#limits.maxItems) && bytes <= Math.max(before.bytes, this.#limits.maxMemory)),
      `${items} entries and ${bytes} bytes, of ${this.#limits.maxItems} and ${this.#limits.maxMemory}`)
    if (!this.#isSettled) return
    const common = { items: 0, bytes: 0 }
    for (const namespace of NAMESPACES) {
      const usage = this.#memory.usage(namespace)
      const quota = this.#limits.quotas?.get(namespace)
      if (quota === undefined) {
        common.items += usage.items
        common.bytes += usage.bytes
      } else expect(usage.items <= quota.maxItems && usage.bytes <= quota.maxMemory, `${namespace} exceeds its quota`)
    }
    const limits = NAMESPACES.map((namespace) => this.#limits.quotas?.has(namespace) === true ? undefined : this.#limitsOf(namespace)).find((each) => each !== undefined)
    if (limits !== undefined) expect(common.items <= limits.maxItems && common.bytes <= limits.maxMemory, 'those without a quota exceed what is left')
  }

  /** What is in the columns is in the index, what is in the index is in the columns, and all of it is what was written. */
  async #checkEntries (): Promise<void> {
    const seen = new Map<string, VisitedEntry>()
    // So few that all are seen before this returns; later others may have been evicted.
    const visit = this.#memory.visit((entry) => {
      expect(!seen.has(nameOf(entry)), 'an entry is there twice')
      seen.set(nameOf(entry), entry)
    })
    const total = { items: 0, bytes: 0 }
    for (const namespace of NAMESPACES) {
      const usage = { items: 0, bytes: 0 }
      for (const entry of seen.values()) {
        if (entry.namespace !== namespace) continue
        usage.items++
        usage.bytes += entry.size
      }
      expect(JSON.stringify(usage) === JSON.stringify(this.#memory.usage(namespace)), `the usage of ${namespace} is not the sum of its entries`)
      expect(this.#memory.holds(namespace) === (usage.items > 0), `an empty ${namespace} is held`)
      total.items += usage.items
      total.bytes += usage.bytes
    }
    expect(total.items === this.#memory.items && total.bytes === this.#memory.bytes, 'the totals are not the sums of the entries')
    for (const namespace of NAMESPACES) {
      for (const key of KEYS) this.#checkEntry(namespace, key, seen)
    }
    await visit
  }

  #checkEntry (namespace: string, key: string, seen: ReadonlyMap<string, VisitedEntry>): void {
    const name = nameOf({ namespace, key })
    const slot = this.#memory.find(namespace, key)
    if (slot === -1) {
      this.#model.delete(name) // evicted, or gone in the model, too
      return
    }
    expect(seen.has(name), `${name} is in the index and not in the columns`)
    const entry = this.#memory.entry(slot)
    const expected = this.#model.get(name)
    expect(entry.key === key && entry.namespace === namespace, 'another entry answers')
    expect(expected !== undefined && expected.goneAt > this.#clock.at, `${name} is there though it has gone`)
    if (expected === undefined) return
    for (const fact of ['value', 'expiresAt', 'goneAt', 'strategy'] as const) expect(entry[fact] === expected[fact], `${fact} of ${name} is ${String(entry[fact])}, not ${String(expected[fact])}`)
    expect(JSON.stringify(entry.tags) === JSON.stringify(expected.tags), `${name} has other tags`)
    expect(entry.size === sizeOf(key, entry.value, entry.tags, entry.metadata), 'a size is wrong')
    expect(this.#memory.isFresh(slot) === (expected.expiresAt > this.#clock.at), `${name} is not as fresh as it should be`)
  }
}

const nameOf = ({ namespace, key }: { namespace: string, key: string }): string => `${namespace} ${key}`

const isMatch = (pattern: string | undefined, key: string): boolean =>
  pattern === '*' || (pattern === 'k1*' && key.startsWith('k1')) || (pattern === '*2' && key.endsWith('2'))

function expect (holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise)
}

/**
 * Runs sequences of steps, which differ from run to run: PROPERTY_SEED repeats those of a failure, which says its seed.
 * @param runs how many, unless PROPERTY_RUNS says
 */
export async function holdAgainstModel (runs: number): Promise<void> {
  const { PROPERTY_SEED: seed, PROPERTY_RUNS: numRuns = runs } = process.env
  await fc.assert(fc.asyncProperty(steps, async (sequence) => { await new Modelled().run(sequence) }), {
    includeErrorInReport: true, numRuns: Number(numRuns), ...(seed === undefined ? {} : { seed: Number(seed) })
  })
}
