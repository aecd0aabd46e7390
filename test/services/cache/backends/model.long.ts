/**
 * Random histories on every backend, held against a model of a few lines. `SEED=…` repeats a run; it is printed with each.
 */
import fc from 'fast-check'
import t from 'tap'
import type { BackendName } from '../../../../services/cache/backends/names.js'
import type { Cache } from '../../../../services/cache/cache.js'
import { decode, encode } from '../../../../services/cache/encoding.js'
import type { Entry } from '../../../../services/cache/entry.js'
import { compileGlob } from '../../../../services/cache/glob.js'
import { everyBackend } from './all-backends.js'

t.setTimeout(400_000)

const RUNS: Record<BackendName, number> = { memory: 500, file: 150, redis: 100, memcached: 60, database: 60 }
const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)

/** What a namespace holds. */
interface Held { value: unknown, tags: readonly string[], version: string }
type Model = Map<string, Map<string, Held>>
/** A run has namespaces of its own, so that runs on one server do not meet. */
interface Real { cache: Cache, prefix: string }

const NAMESPACES = ['n', 'nn']
const KEYS = ['a', 'b', 'ab', 'a:1', 'ü', '*']
const TAGS = ['t', 'u', 'tt']
const PATTERNS = ['*', 'a*', '?', '\\*', 'a:[0-9]', 'none']

const place = { ns: fc.constantFrom(...NAMESPACES), key: fc.constantFrom(...KEYS) }
const tags = fc.subarray(TAGS)
const value = fc.oneof(fc.integer(), fc.string({ unit: 'binary' }), fc.constantFrom(null, 0, '', false, [], {}), fc.array(fc.integer(), { maxLength: 400 }), fc.jsonValue())

const valueOf = (found: Entry | undefined): unknown => found === undefined ? undefined : decode(found.value)
/** As it is read back: JSON has no -0. */
const plain = (given: unknown): unknown => JSON.parse(JSON.stringify(given))
const spaceOf = (model: Model, ns: string): Map<string, Held> => model.get(ns)!

class Step<Given> implements fc.AsyncCommand<Model, Real> {
  #name: string
  #given: Given
  #act: (given: Given, model: Model, real: Real) => Promise<void>

  constructor (name: string, given: Given, act: (given: Given, model: Model, real: Real) => Promise<void>) {
    this.#name = name
    this.#given = given
    this.#act = act
  }

  check (): boolean { return true }
  async run (model: Model, real: Real): Promise<void> { await this.#act(this.#given, model, real) }
  toString (): string { return `${this.#name}(${JSON.stringify(this.#given)})` }
}

function step<Given extends object> (
  name: string, given: { [Name in keyof Given]: fc.Arbitrary<Given[Name]> }, act: (given: Given, model: Model, real: Real) => Promise<void>
): fc.Arbitrary<Step<Given>> {
  return fc.record(given).map((given) => new Step(name, given as Given, act))
}

function same (actual: unknown, expected: unknown, what: string): void {
  const [a, e] = [JSON.stringify(actual) ?? 'nothing', JSON.stringify(expected) ?? 'nothing']
  if (a !== e) throw new Error(`${what}: ${a}, and should be ${e}`)
}

interface At { ns: string, key: string }

const steps = [
  step<At & { value: unknown, tags: string[] }>('set', { ...place, value, tags }, async ({ ns, key, value, tags }, model, { cache, prefix }) => {
    const { version } = await cache.set(prefix + ns, key, { value: encode(value), dataType: 'json', tags })
    spaceOf(model, ns).set(key, { value: plain(value), tags, version })
  }),
  step<At & { value: unknown }>('set where nothing is', { ...place, value }, async ({ ns, key, value }, model, { cache, prefix }) => {
    const space = spaceOf(model, ns)
    const stored = await outcomeOf(async () => await cache.set(prefix + ns, key, { value: encode(value), dataType: 'json' }, { absent: true }))
    same(stored !== undefined, !space.has(key), 'stored')
    if (stored !== undefined) space.set(key, { value: plain(value), tags: [], version: stored.version })
  }),
  step<At & { current: boolean }>('set over a version', { ...place, current: fc.boolean() }, async ({ ns, key, current }, model, { cache, prefix }) => {
    const space = spaceOf(model, ns)
    const version = current ? space.get(key)?.version ?? '1v1' : '1v1'
    const stored = await outcomeOf(async () => await cache.set(prefix + ns, key, { value: encode('over'), dataType: 'json' }, { version }))
    same(stored !== undefined, current && space.has(key), 'stored')
    if (stored !== undefined) space.set(key, { value: 'over', tags: [], version: stored.version })
  }),
  step<At>('get', place, async ({ ns, key }, model, { cache, prefix }) => {
    const found = await cache.get(prefix + ns, key)
    same([valueOf(found), found?.version, found?.tags], [spaceOf(model, ns).get(key)?.value, spaceOf(model, ns).get(key)?.version, spaceOf(model, ns).get(key)?.tags], 'found')
  }),
  step<{ ns: string, keys: string[] }>('getMany', { ns: place.ns, keys: fc.array(place.key) }, async ({ ns, keys }, model, { cache, prefix }) => {
    same((await cache.getMany(prefix + ns, keys)).map(valueOf), keys.map((key) => spaceOf(model, ns).get(key)?.value), 'found')
  }),
  step<At>('delete', place, async ({ ns, key }, model, { cache, prefix }) => {
    same(await cache.delete(prefix + ns, key), spaceOf(model, ns).delete(key), 'deleted')
  }),
  step<At>('touch', place, async ({ ns, key }, model, { cache, prefix }) => {
    same((await cache.touch(prefix + ns, key, 5000))?.version, spaceOf(model, ns).get(key)?.version, 'touched')
  }),
  step<At & { by: number }>('increment', { ...place, by: fc.integer({ min: -9, max: 9 }) }, async ({ ns, key, by }, model, { cache, prefix }) => {
    const space = spaceOf(model, ns)
    const held = space.get(key)
    if (held !== undefined && typeof held.value !== 'number') return
    const sum = (held?.value as number | undefined ?? 0) + by
    const { version, value } = await cache.increment(prefix + ns, key, by)
    same(decode(value), plain(sum), 'sum')
    space.set(key, { value: plain(sum), tags: held?.tags ?? [], version })
  }),
  step<{ ns: string, tags: string[] }>('invalidate', { ns: place.ns, tags: fc.subarray(TAGS, { minLength: 1 }) }, async ({ ns, tags }, model, { cache, prefix }) => {
    const gone = drop(spaceOf(model, ns), (_, held) => held.tags.some((tag) => tags.includes(tag)))
    same(await cache.invalidate(prefix + ns, { tags }), gone, 'counted')
  }),
  step<{ ns: string, pattern: string }>('invalidate by pattern', { ns: place.ns, pattern: fc.constantFrom(...PATTERNS) }, async ({ ns, pattern }, model, { cache, prefix }) => {
    const gone = drop(spaceOf(model, ns), compileGlob(pattern))
    same(await cache.invalidate(prefix + ns, { pattern }), gone, 'counted')
  }),
  step<{ ns: string }>('clear', { ns: place.ns }, async ({ ns }, model, { cache, prefix }) => {
    const gone = drop(spaceOf(model, ns), () => true)
    same(await cache.clear(prefix + ns), gone, 'counted')
  }),
  step<{ ns: string, pattern: string }>('list', { ns: place.ns, pattern: fc.constantFrom(...PATTERNS) }, async ({ ns, pattern }, model, { cache, prefix }) => {
    const matches = compileGlob(pattern)
    const expected = [...spaceOf(model, ns).keys()].filter((key) => matches(key)).sort()
    const { total, entries } = await cache.list(prefix + ns, { pattern, limit: 100 })
    same([total, entries.map(({ key }) => key).sort()], [expected.length, expected], 'listed')
  }),
  step<{ ns: string }>('statistics', { ns: place.ns }, async ({ ns }, model, { cache, prefix }) => {
    same((await cache.statistics(prefix + ns)).items, spaceOf(model, ns).size, 'items')
  })
]

/** Undefined when the condition did not hold. */
async function outcomeOf (act: () => Promise<Entry>): Promise<Entry | undefined> {
  try {
    return await act()
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_PRECONDITION_FAILED') return undefined
    throw error
  }
}

function drop (space: Map<string, Held>, falls: (key: string, held: Held) => boolean): number {
  const fallen = [...space].filter(([key, held]) => falls(key, held))
  for (const [key] of fallen) space.delete(key)
  return fallen.length
}

const app = await (await everyBackend(t))()
let runs = 0

for (const cache of app.caches.all()) {
  await t.test(`${cache.backend} behaves as a map with tags`, async (t) => {
    t.comment(`seed ${seed}`)
    const outcome = await fc.check(fc.asyncProperty(fc.commands(steps, { maxCommands: 60, size: 'max' }), async (commands) => {
      const prefix = `m${++runs}-`
      await fc.asyncModelRun(() => ({ model: new Map(NAMESPACES.map((ns) => [ns, new Map<string, Held>()])), real: { cache, prefix } }), commands)
    }), { seed, numRuns: RUNS[cache.backend], interruptAfterTimeLimit: 60_000 })
    t.equal(outcome.failed, false, fc.defaultReportMessage(outcome) ?? `${outcome.numRuns} histories`)
  })
}
