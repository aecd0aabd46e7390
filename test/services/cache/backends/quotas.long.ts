/** What a quota is, over every backend that says it has them, on real servers: a new one is held to it by saying so. `SEED=…` repeats a run. */
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { capabilities } from '../../../../services/cache/backends/capabilities.js'
import type { Cache } from '../../../../services/cache/cache.js'
import { sizeOf } from '../../../../services/cache/entry.js'
import type { Limits, Quota } from '../../../../services/cache/limits.js'
import { entryOf as entry } from '../setup.js'
import { everyBackend } from './all-backends.js'

t.setTimeout(400_000)

const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)
const HUGE = 1_000_000

const app = await (await everyBackend(t))()
const claiming = app.caches.all().filter(({ backend }) => capabilities[backend].noQuotas === undefined)
t.ok(claiming.length >= 2, claiming.map(({ backend }) => backend).join())

const keysIn = async (cache: Cache, namespace: string): Promise<string[]> => (await cache.list(namespace, { limit: 1000 })).entries.map(({ key }) => key).sort()
const sizeIn = async (cache: Cache, namespace: string): Promise<[items: number, bytes: number]> => {
  const { items, bytes } = await cache.statistics(namespace)
  return [items, bytes]
}
const number = (key: string): number => Number(key.slice(1))
const numbered = async (cache: Cache, namespace: string): Promise<number[]> => (await keysIn(cache, namespace)).map(number).sort((a, b) => a - b)
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

async function limited (cache: Cache, limits: Partial<Limits>): Promise<void> {
  cache.configure(limits)
  await cache.settled()
}

async function emptied (cache: Cache, namespaces: readonly string[]): Promise<void> {
  for (const namespace of namespaces) await cache.clear(namespace)
}

async function conforms (t: Test, cache: Cache): Promise<void> {
  let spaces = 0
  const space = (): string => `q${++spaces}`
  const quota = (maxItems: number, maxMemory = HUGE): Quota => ({ maxItems, maxMemory })
  const fill = async (namespace: string, from: number, to: number, value = 1): Promise<void> => {
    for (const i of range(from, to)) await cache.set(namespace, `k${i}`, entry(value, { strategy: 'lru', ttl: 0 }))
  }

  await t.test('a tenant at its quota evicts its own entries, and no others can take its place', async (t) => {
    const [tenant, other, third] = [space(), space(), space()]
    await limited(cache, { maxItems: 20, maxMemory: 2 * HUGE, quotas: new Map([[tenant, quota(5)]]) })
    await fill(other, 0, 10)
    await fill(tenant, 0, 12)
    t.strictSame(await numbered(cache, tenant), range(7, 12), 'its own least recently used went')
    t.strictSame(await numbered(cache, other), range(0, 10))
    await fill(third, 0, 40)
    t.strictSame(await numbered(cache, tenant), range(7, 12), 'what others need they take from each other')
    t.strictSame([await numbered(cache, other), await numbered(cache, third)], [[], range(25, 40)])
    await cache.delete(tenant, 'k8')
    await fill(other, 0, 3)
    t.strictSame([await numbered(cache, third), await numbered(cache, tenant)], [range(28, 40), [7, 9, 10, 11]], 'what it leaves free stays reserved')
    t.equal(cache.counters(tenant).evictions, 7)
    await emptied(cache, [tenant, other, third])
  })

  await t.test('each tenant has its own policies', async (t) => {
    const [a, b] = [space(), space()]
    await limited(cache, { maxItems: 20, maxMemory: 2 * HUGE, quotas: new Map([[a, quota(3)], [b, quota(3)]]) })
    for (const [namespace, strategy] of [[a, 'fifo'], [b, 'ttl']] as const) {
      for (const [i, ttl] of [30, 90, 60, 50].entries()) await cache.set(namespace, `k${i}`, entry(1, { strategy, ttl }))
    }
    t.strictSame([await keysIn(cache, a), await keysIn(cache, b)], [['k1', 'k2', 'k3'], ['k1', 'k2', 'k3']])
    for (const namespace of [a, b]) await cache.set(namespace, 'k4', entry(1, { strategy: 'lru' }))
    t.strictSame([await keysIn(cache, a), await keysIn(cache, b)], [['k2', 'k3', 'k4'], ['k1', 'k2', 'k4']])
    await emptied(cache, [a, b])
  })

  await t.test('it holds at every moment, in number and bytes, while many write', async (t) => {
    const [tenant, other] = [space(), space()]
    await limited(cache, { maxItems: 40, maxMemory: 60_000, quotas: new Map([[tenant, quota(10, 20_000)]]) })
    const through = new AbortController()
    const most = { tenant: [0, 0], other: [0, 0] }
    const watching = (async () => {
      while (!through.signal.aborted) {
        await nextTurn()
        for (const [name, namespace] of [['tenant', tenant], ['other', other]] as const) {
          const [items, bytes] = await sizeIn(cache, namespace)
          most[name] = [Math.max(most[name][0]!, items), Math.max(most[name][1]!, bytes)]
        }
      }
    })()
    for (const round of range(0, 30)) {
      await Promise.all(range(0, 20).map(async (i) => {
        const strategy = (['lru', 'lfu', 'fifo', 'ttl'] as const)[i % 4]!
        await cache.set(i % 2 === 0 ? tenant : other, `k${(round * 7 + i) % 90}`, entry('x'.repeat((round * 97 + i * 31) % 3000), { strategy, ttl: 60 + i }))
      }))
    }
    through.abort()
    await watching
    t.ok(most.tenant[0]! <= 10 && most.tenant[1]! <= 20_000, `tenant ${most.tenant.join()}`)
    t.ok(most.other[0]! <= 30 && most.other[1]! <= 40_000, `other ${most.other.join()}`)
    t.ok(most.tenant[0]! > 4 && most.other[0]! > 10, 'there was something to hold')
    await emptied(cache, [tenant, other])
  })

  await t.test('an entry over the quota is refused, and evicts nothing', async (t) => {
    const [tenant, other] = [space(), space()]
    await limited(cache, { maxItems: 100, maxMemory: 10_000, quotas: new Map([[tenant, quota(10, 3000)]]) })
    await fill(tenant, 0, 5)
    await fill(other, 0, 5)
    const fault = { code: 'ERR_ENTRY_TOO_LARGE', statusCode: 413 }
    await t.rejects(async () => await cache.set(tenant, 'large', entry('x'.repeat(3000))), { ...fault, message: /limit of 3000/ })
    await t.rejects(async () => await cache.set(other, 'large', entry('x'.repeat(7000))), { ...fault, message: /limit of 7000/ })
    t.strictSame([await numbered(cache, tenant), await numbered(cache, other)], [range(0, 5), range(0, 5)])
    await cache.set(other, 'large', entry('x'.repeat(6000)))
    t.strictSame(await numbered(cache, tenant), range(0, 5))
    await emptied(cache, [tenant, other])
  })

  await t.test('one that is set, changed or taken away counts at once, and nobody loses a place in the order', async (t) => {
    const [tenant, other] = [space(), space()]
    const limits = { maxItems: 30, maxMemory: HUGE }
    await limited(cache, { ...limits, quotas: new Map() })
    for (const i of range(0, 12)) {
      // Memory knows when an entry was used to the millisecond.
      await delay(3)
      await fill(tenant, i, i + 1)
      await fill(other, i, i + 1)
    }
    await limited(cache, { ...limits, quotas: new Map([[tenant, quota(8, 100_000)]]) })
    t.strictSame([await numbered(cache, tenant), await numbered(cache, other)], [range(4, 12), range(0, 12)], 'what has no room in a new one goes')
    await limited(cache, { ...limits, quotas: new Map([[tenant, quota(3, 100_000)]]) })
    t.strictSame([await numbered(cache, tenant), await numbered(cache, other)], [range(9, 12), range(0, 12)], 'nor in one that is lowered')
    t.strictSame((await sizeIn(cache, tenant))[0], 3, 'as is told')
    await limited(cache, { ...limits, quotas: new Map([[tenant, quota(20, 100_000)]]) })
    t.strictSame([await numbered(cache, tenant), await numbered(cache, other)], [range(9, 12), range(2, 12)], 'raised, it takes from what the others have')
    await limited(cache, { ...limits, quotas: new Map() })
    await fill(other, 20, 47)
    // Memory takes in what comes back as the youngest of those that were there.
    const left = cache.backend === 'memory' ? [[9, 10, 11], range(20, 47)] : [[11], [10, 11, ...range(20, 47)]]
    t.strictSame([await numbered(cache, tenant), await numbered(cache, other)], left, 'without one the oldest of all go')
    await emptied(cache, [tenant, other])
  })

  await t.test('all of the limits may be reserved: then there is no room for anybody else', async (t) => {
    const [tenant, other] = [space(), space()]
    await limited(cache, { maxItems: 5, maxMemory: HUGE, quotas: new Map([[tenant, quota(5, 100_000)]]) })
    await t.rejects(async () => await cache.set(other, 'k', entry(1)), { code: 'ERR_BACKEND_FULL', statusCode: 507 })
    await fill(tenant, 0, 9)
    t.strictSame(await numbered(cache, tenant), range(4, 9))
    await emptied(cache, [tenant])
  })

  await t.test('more than there is cannot be reserved', async (t) => {
    await limited(cache, { maxItems: 9, maxMemory: HUGE, quotas: new Map() })
    t.throws(() => { cache.configure({ quotas: new Map([['a', quota(6, 1)], ['b', quota(4, 1)]]) }) }, { code: 'ERR_UNSUPPORTED_HERE', message: /10 for max_items, more than the 9/ })
    t.equal(cache.limits.quotas?.size, 0)
  })
}

type Step = { do: 'set', namespace: string, key: string, length: number, strategy: 'lru' | 'fifo' } | { do: 'delete', namespace: string, key: string } |
  { do: 'quota', namespace: string, items: number, bytes: number } | { do: 'limit', items: number, bytes: number }
interface Modelled { namespace: string, key: string, size: number, strategy: 'lru' | 'fifo', at: number }

/** Entries in a list, and pools as they are defined. Nobody reads, so `lru` and `fifo` are the order of writing. */
class Model {
  entries: Modelled[] = []
  limits: Quota = { maxItems: 12, maxMemory: 8000 }
  quotas = new Map<string, Quota>()
  #moment = 0

  boundsOf (namespace: string): Quota {
    const own = this.quotas.get(namespace)
    if (own !== undefined) return own
    const reserved = [...this.quotas.values()]
    return {
      maxItems: this.limits.maxItems - reserved.reduce((sum, { maxItems }) => sum + maxItems, 0),
      maxMemory: this.limits.maxMemory - reserved.reduce((sum, { maxMemory }) => sum + maxMemory, 0)
    }
  }

  /** Whether it could be stored. */
  set (namespace: string, key: string, size: number, strategy: 'lru' | 'fifo'): boolean {
    const bounds = this.boundsOf(namespace)
    if (size > bounds.maxMemory || bounds.maxItems === 0) return false
    this.entries = this.entries.filter((each) => each.namespace !== namespace || each.key !== key)
    this.#shrink(namespace, { items: 1, bytes: size }, strategy)
    this.entries.push({ namespace, key, size, strategy, at: ++this.#moment })
    return true
  }

  delete (namespace: string, key: string): void { this.entries = this.entries.filter((each) => each.namespace !== namespace || each.key !== key) }

  configure (): void { for (const { namespace } of [...this.entries]) this.#shrink(namespace, { items: 0, bytes: 0 }, 'lru') }

  keys (namespace: string): string[] { return this.entries.filter((each) => each.namespace === namespace).map(({ key }) => key).sort() }

  #shrink (namespace: string, more: { items: number, bytes: number }, strategy: 'lru' | 'fifo'): void {
    const bounds = this.boundsOf(namespace)
    for (;;) {
      const pool = this.entries.filter((each) => this.quotas.has(namespace) ? each.namespace === namespace : !this.quotas.has(each.namespace))
      const bytes = pool.reduce((sum, { size }) => sum + size, 0)
      if (pool.length + more.items <= bounds.maxItems && bytes + more.bytes <= bounds.maxMemory) return
      const first = pool.filter((each) => each.strategy === strategy)
      const victim = (first.length > 0 ? first : pool).reduce((oldest, each) => each.at < oldest.at ? each : oldest)
      this.entries = this.entries.filter((each) => each !== victim)
    }
  }
}

/** Held against the model, whatever comes in whatever order. */
async function follows (t: Test, cache: Cache): Promise<void> {
  const namespaces = ['a', 'ab', 'b']
  const place = { namespace: fc.constantFrom(...namespaces), key: fc.integer({ min: 0, max: 7 }).map((n) => `k${n}`) }
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 8, arbitrary: fc.record({ do: fc.constant('set' as const), ...place, length: fc.integer({ min: 1, max: 1200 }), strategy: fc.constantFrom('lru' as const, 'fifo' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('delete' as const), ...place }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('quota' as const), namespace: place.namespace, items: fc.integer({ min: 0, max: 6 }), bytes: fc.integer({ min: 1000, max: 4000 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('limit' as const), items: fc.integer({ min: 4, max: 16 }), bytes: fc.integer({ min: 3000, max: 12_000 }) }) }
  )
  t.comment(`seed ${seed}`)
  const outcome = await fc.check(fc.asyncProperty(fc.array(step, { minLength: 15, maxLength: 50 }), async (steps) => {
    const model = new Model()
    await emptied(cache, namespaces)
    await limited(cache, { ...model.limits, quotas: new Map() })
    for (const each of steps) {
      if (each.do === 'set') {
        const value = 'x'.repeat(each.length)
        const fits = model.set(each.namespace, each.key, sizeOf(each.key, JSON.stringify(value), [], undefined), each.strategy)
        const stored = await Promise.resolve(cache.set(each.namespace, each.key, entry(value, { strategy: each.strategy, ttl: 0 }))).then(() => true, () => false)
        if (stored !== fits) throw new Error(`${JSON.stringify(each)} was ${stored ? '' : 'not '}stored`)
      } else if (each.do === 'delete') {
        model.delete(each.namespace, each.key)
        await cache.delete(each.namespace, each.key)
      } else {
        const before = { limits: model.limits, quotas: new Map(model.quotas) }
        if (each.do === 'limit') model.limits = { maxItems: each.items, maxMemory: each.bytes }
        else if (each.items === 0) model.quotas.delete(each.namespace)
        else model.quotas.set(each.namespace, { maxItems: each.items, maxMemory: each.bytes })
        const left = model.boundsOf('nobody')
        if (left.maxItems < 0 || left.maxMemory < 0) Object.assign(model, before)
        else {
          await limited(cache, { ...model.limits, quotas: new Map(model.quotas) })
          model.configure()
        }
      }
      for (const namespace of namespaces) {
        const [expected, found] = [model.keys(namespace), await keysIn(cache, namespace)]
        if (JSON.stringify(expected) !== JSON.stringify(found)) throw new Error(`after ${JSON.stringify(each)}: ${namespace} has ${found.join()}, and should have ${expected.join()}`)
      }
    }
  }), { seed, numRuns: 60, interruptAfterTimeLimit: 40_000, endOnFailure: true })
  t.equal(outcome.failed, false, outcome.failed ? `${String(outcome.errorInstance)}: ${fc.defaultReportMessage(outcome)}` : `${outcome.numRuns} histories`)
}

for (const cache of claiming) {
  await t.test(cache.backend, async (t) => {
    await conforms(t, cache)
    // Memory has a model of its own: it orders by the millisecond what a new quota moves.
    if (cache.backend !== 'memory') await follows(t, cache)
  })
}
