import t from 'tap'
import { Activity, type Counts, type Period } from '../../../../services/cache/analytics/activity.js'
import { ManualClock } from '../setup.js'

const NONE: Counts = { hits: 0, misses: 0, sets: 0, deletes: 0, evictions: 0 }

/** Counters that a test moves. */
class Source {
  readonly spaces = new Map<string, Counts>()

  add (namespace: string, changes: Partial<Counts>): void {
    const counts = this.spaces.get(namespace) ?? { ...NONE }
    for (const [name, change] of Object.entries(changes)) counts[name as keyof Counts] += change
    this.spaces.set(namespace, counts)
  }

  counters (namespace?: string): Counts {
    if (namespace !== undefined) return { ...this.spaces.get(namespace) ?? NONE }
    const sum = { ...NONE }
    for (const counts of this.spaces.values()) for (const name of Object.keys(sum) as (keyof Counts)[]) sum[name] += counts[name]
    return sum
  }

  namespaces (): Iterable<string> { return this.spaces.keys() }
}

const happened = (periods: Period[]): Period[] => periods.filter(({ start, ...counts }) => Object.values(counts).some((count) => count > 0))

t.test('what happened stands in the minute and the hour in which it did', async (t) => {
  const clock = new ManualClock()
  const source = new Source()
  const activity = new Activity(source, clock.now)
  const began = clock.at
  source.add('a', { hits: 3, misses: 1 })
  clock.advance(10)
  activity.turn()
  for (let i = 0; i < 12; i++) {
    clock.advance(10)
    activity.turn()
  }
  source.add('a', { sets: 2, evictions: 2 })
  source.add('b', { deletes: 5 })
  clock.advance(10)
  const all = activity.report()
  t.equal(all?.minutes.length, 3, 'from before the start there is nothing')
  t.strictSame(happened(all?.minutes ?? []), [
    { start: began, hits: 3, misses: 1, sets: 0, deletes: 0, evictions: 0 },
    { start: began + 120_000, hits: 0, misses: 0, sets: 2, deletes: 5, evictions: 2 }
  ])
  t.strictSame(all?.hours, [{ start: began, hits: 3, misses: 1, sets: 2, deletes: 5, evictions: 2 }])
  t.strictSame(happened(activity.report('b')?.minutes ?? []), [{ ...NONE, start: began + 120_000, deletes: 5 }], 'nothing of the other namespace')
  t.strictSame(happened(activity.report('a')?.hours ?? []), [{ start: began, hits: 3, misses: 1, sets: 2, deletes: 0, evictions: 2 }])
  t.strictSame(happened(activity.report('nobody')?.hours ?? []), [])
})

t.test('minutes older than an hour and hours older than a day are dropped', async (t) => {
  const clock = new ManualClock()
  const source = new Source()
  const activity = new Activity(source, clock.now)
  source.add('a', { hits: 1 })
  clock.advance(1)
  activity.turn()
  clock.advance(2 * 3600)
  const later = activity.report()
  t.equal(later?.minutes.length, 60)
  t.strictSame(happened(later?.minutes ?? []), [])
  t.equal(happened(later?.hours ?? []).length, 1)
  clock.advance(24 * 3600)
  t.strictSame(happened(activity.report()?.hours ?? []), [])
  t.equal(activity.report()?.hours.length, 24)
})

t.test('the rate of evictions is told over a minute, five, and an hour', async (t) => {
  const clock = new ManualClock()
  const source = new Source()
  const activity = new Activity(source, clock.now)
  for (let second = 0; second < 3600; second += 10) {
    source.add('a', { evictions: second < 3540 ? 10 : 50 })
    clock.advance(10)
    activity.turn()
  }
  const { evictions } = activity.report() ?? {}
  t.ok(Math.abs((evictions?.minute ?? 0) - 5) < 0.01, `${evictions?.minute} over a minute`)
  t.ok(Math.abs((evictions?.fiveMinutes ?? 0) - (5 * 60 + 240) / 300) < 0.2, `${evictions?.fiveMinutes} over five`)
  t.ok(Math.abs((evictions?.hour ?? 0) - (3540 + 300) / 3600) < 0.02, `${evictions?.hour} over an hour`)
  t.strictSame(new Activity(new Source(), clock.now).report()?.evictions, { minute: 0, fiveMinutes: 0, hour: 0 })
})

t.test('a namespace that there is no room for takes the place of one that is silent, when it is asked for', async (t) => {
  const clock = new ManualClock()
  const source = new Source()
  const activity = new Activity(source, clock.now)
  for (let i = 0; i < 130; i++) source.add(`n${i}`, { hits: 1 })
  clock.advance(10)
  activity.turn()
  t.equal(happened(activity.report('n127')?.hours ?? []).length, 1)
  t.equal(activity.report('n128'), undefined)
  clock.advance(2 * 3600)
  activity.turn()
  for (let i = 1; i < 130; i++) source.add(`n${i}`, { hits: 1 })
  clock.advance(10)
  const first = activity.report('n128')
  t.equal(first?.hours.length, 1, 'from before then nothing is known')
  t.strictSame(happened(first?.hours ?? []), [])
  source.add('n128', { hits: 2 })
  clock.advance(10)
  t.match(happened(activity.report('n128')?.hours ?? []), [{ hits: 2 }])
  t.equal(activity.report('n0'), undefined, 'the one that was silent had to go')
  t.equal(activity.report('n129'), undefined, 'and no other')
})
