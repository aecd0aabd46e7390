import fc from 'fast-check'
import t from 'tap'
import { Buckets } from '../../../services/limits/buckets.js'
import { newDecision } from '../../../services/limits/gcra.js'
import { Limiter } from '../../../services/limits/limiter.js'
import { Quota } from '../../../services/limits/quota.js'
import { parseRates, textOf } from '../../../services/limits/rates.js'

function start (rates: string, buckets?: Buckets) {
  const quota = new Quota('', parseRates(rates), buckets === undefined ? {} : { buckets })
  const clock = { now: 1_000_000 }
  const limiter = new Limiter(() => clock.now)
  const take = (caller: string, cost = 1, refund = 0) => {
    const decision = limiter.take(quota, caller, cost, refund)
    if (decision instanceof Promise) throw new Error('Without Redis there is nothing to wait for')
    return decision
  }
  return { quota, clock, take, buckets: quota.buckets }
}

t.test('a caller has its quota at once, and then one more after each interval', (t) => {
  const { take, clock, quota } = start('5/second')
  for (let left = 4; left >= 0; left--) t.match(take('a'), { isAllowed: true, remaining: [left] })
  const refused = take('a')
  t.match(refused, { isAllowed: false, remaining: [0], retryAfter: 200, violated: 0, violations: [true] })
  t.equal(quota.header(refused), '"per-second";r=0;t=1')
  t.equal(quota.policyHeader, '"per-second";q=5;w=1')
  t.equal(take('b').isAllowed, true, 'others have their own')
  clock.now += 199
  t.equal(take('a').isAllowed, false)
  clock.now += 1
  t.equal(take('a').isAllowed, true)
  t.equal(take('a').isAllowed, false)
  clock.now += 60_000
  t.match(take('a'), { isAllowed: true, remaining: [4] }, 'no more than the quota is saved up')
  t.end()
})

t.test('there is no double burst at the edge of a window', (t) => {
  const { take, clock } = start('5/second')
  take('a')
  clock.now += 850
  let allowed = 0
  for (let i = 0; i < 40; i++, clock.now += 5) if (take('a').isAllowed) allowed++
  t.ok(allowed <= 6, `${allowed} of 40 in 0.2 s: the quota and what comes back meanwhile`)
  t.end()
})

t.test('of several policies all permit, or none is charged', (t) => {
  const { take, clock } = start('2/second, 5/minute')
  t.match(take('a', 2), { isAllowed: true, remaining: [0, 3] })
  for (let i = 0; i < 10; i++) t.match(take('a'), { isAllowed: false, violations: [true, false], remaining: [0, 3], retryAfter: 500 })
  clock.now += 1000
  t.match(take('a', 2), { isAllowed: true, remaining: [0, 1] })
  clock.now += 1000
  t.match(take('a', 2), { isAllowed: false, violations: [false, true], violated: 1, remaining: [2, 1] })
  t.match(take('a'), { isAllowed: true, remaining: [1, 0] }, 'the second policy was not charged by what the first would have permitted')
  t.end()
})

t.test('a first charge is given back when the rest is refused, and the time to wait is for both', (t) => {
  const { take, clock } = start('10/second')
  take('a', 5)
  t.equal(take('a').isAllowed, true)
  t.match(take('a', 7, 1), { isAllowed: false, remaining: [5], retryAfter: 300 })
  clock.now += 300
  t.equal(take('a').isAllowed, true)
  t.equal(take('a', 7, 1).isAllowed, true)
  t.end()
})

t.test('whatever is asked for and when, no caller gets more than the quota and what comes back, and none gets less', (t) => {
  const steps = fc.array(fc.record({ wait: fc.integer({ min: 0, max: 700 }), cost: fc.integer({ min: 1, max: 4 }) }), { maxLength: 200 })
  fc.assert(fc.property(steps, fc.integer({ min: 4, max: 20 }), (steps, quota) => {
    const { take, clock } = start(`${quota}/second`)
    const begun = clock.now
    // The same as a bucket that fills by one for each interval.
    let level = quota
    let allowed = 0
    for (const { wait, cost } of steps) {
      clock.now += wait
      level = Math.min(quota, level + wait * quota / 1000)
      const decision = take('a', cost)
      if (Math.abs(level - cost) > 1e-6 && decision.isAllowed !== (level >= cost)) throw new Error(`${level} left, ${cost} asked for`)
      if (decision.isAllowed) {
        level -= cost
        allowed += cost
      }
    }
    return allowed <= quota + (clock.now - begun) * quota / 1000 + 1e-6
  }))
  t.end()
})

t.test('a million callers neither free one that is blocked, nor grow the table without bound', (t) => {
  const { take, buckets, clock } = start('10/hour', new Buckets(5000))
  while (take('blocked').isAllowed);
  let allowed = 0
  for (let i = 0; i < 1_000_000; i++, clock.now += 0.01) {
    if (take(`caller-${i}`).isAllowed) allowed++
    if (i % 100_000 === 0) t.equal(take('blocked').isAllowed, false)
  }
  t.equal(take('blocked').isAllowed, false)
  t.equal(buckets.size, 5000)
  t.ok(allowed < 5000 + 257 * 11, `${allowed}: who finds no bucket shares one of 256, each with the quota of one caller`)
  clock.now += 3_600_000
  t.equal(take('blocked').isAllowed, true)
  t.match(take('late'), { isAllowed: true, remaining: [9] }, 'buckets that are full again are given to others')
  t.equal(buckets.size, 5000)
  t.end()
})

t.test('callers whose buckets are full again make room before the table grows', (t) => {
  const { take, buckets, clock } = start('6000/minute')
  for (let i = 0; i < 1_000_000; i++, clock.now += 0.1) take(`caller-${i}`)
  t.ok(buckets.size < 5000, `${buckets.size} rows`)
  t.end()
})

t.test('a caller that gets another policy is held back no longer than that one’s window', (t) => {
  const buckets = new Buckets()
  const [hour] = [new Quota('', parseRates('1/hour'), { buckets })]
  const second = new Quota('', parseRates('2/second'), { buckets })
  const decision = newDecision()
  buckets.take('a', hour.policies, 1, 0, decision)
  buckets.take('a', second.policies, 1, 0, decision)
  t.match(decision, { isAllowed: false, retryAfter: 500 })
  t.end()
})

t.test('who has used up a quota has used up the one that takes its place, in the same proportion', (t) => {
  const cases: [before: string, after: string, left: number[]][] = [
    ['10/minute', '100/minute', [40]], ['10/minute', '5/minute', [2]], ['10/minute', '10/hour', [4]], ['10/hour', '10/second', [4]],
    ['100/second, 10/hour', '10/hour', [4]], ['100/second, 10/hour', '100/second, 10/day', [94, 4]], ['10/hour', '100/second, 10/hour', [40, 4]]
  ]
  for (const [before, after, left] of cases) {
    const quota = new Quota('', parseRates(before))
    const decision = newDecision()
    quota.buckets.take('a', quota.policies, 6, 1000, decision)
    const successor = quota.succeededBy(parseRates(after), 1000)
    successor.buckets.take('b', successor.policies, 1, 1000, newDecision())
    t.strictSame(quota.isOver && successor.buckets.ahead('a', successor.policies, 1000).slice(0, left.length).map((ahead, i) =>
      Math.floor((successor.policies[i]!.window - ahead) / successor.policies[i]!.interval + 1e-6)), left, `${before} → ${after}`)
  }
  const used = new Quota('', parseRates('3/minute'))
  used.buckets.take('a', used.policies, 3, 0, newDecision())
  const decision = newDecision()
  for (const rates of ['1000/minute', '1/day', '3/minute']) {
    const successor = used.succeededBy(parseRates(rates), 0)
    t.match(successor.buckets.look('a', successor.policies, 1, 0, decision), { isAllowed: false }, rates)
    successor.succeededBy(used.rates, 0)
  }
  t.end()
})

t.test('rates read from their own text are the same', (t) => {
  for (const rates of ['10/hour', '100/second, 6000/hour', '5 per 2 minutes; 10 per 7 days', '1/month, 3/year']) {
    t.strictSame(parseRates(textOf(parseRates(rates))), parseRates(rates))
  }
  t.equal(textOf(parseRates('10 per 1 hour; 5 per 2 minutes')), '10/hour, 5/2 minutes')
  t.end()
})
