import fc from 'fast-check'
import t from 'tap'
import { DEFAULT_POLICY, pauseBefore, Retry, type RetryOptions, type RetryPolicy } from '../../../services/cache/retry.js'
import { RetryBudget } from '../../../services/cache/retry-budget.js'

const down = async (): Promise<never> => { throw new Error('down') }
const lost = () => 'lost' as const

/** Time that passes by pauses alone. */
function retrying (policy: Partial<RetryPolicy> = {}, options: Partial<RetryOptions> = {}) {
  const clock = { time: 0, pauses: [] as number[] }
  const now = () => clock.time
  const retry = new Retry({
    dependency: 'test',
    policy: { ...DEFAULT_POLICY, ...policy },
    budget: new RetryBudget({ now }),
    now,
    pause: async (milliseconds) => {
      clock.pauses.push(milliseconds)
      clock.time += milliseconds
    },
    ...options
  })
  return { retry, clock }
}

t.test('a pause is anything up to a bound that doubles with each retry and ends at the longest', async (t) => {
  t.doesNotThrow(() => fc.assert(fc.property(fc.integer({ min: 1, max: 2000 }), fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 60_000 }), fc.double({ min: 0, max: 1, noNaN: true }),
    (retry, baseDelay, maxDelay, random) => {
      const longest = Math.min(maxDelay, baseDelay * 2 ** (retry - 1))
      const pause = pauseBefore(retry, { baseDelay, maxDelay }, random)
      const throttled = pauseBefore(retry, { baseDelay, maxDelay }, random, true)
      return pause >= 0 && pause <= longest && throttled >= longest / 2 && throttled <= longest && (random < 1 || pause === longest)
    })))
})

t.test('callers that failed together do not come back together', async (t) => {
  const pauses = Array.from({ length: 1000 }, () => pauseBefore(3, DEFAULT_POLICY, Math.random()))
  const longest = 4 * DEFAULT_POLICY.baseDelay
  for (let tenth = 0; tenth < 10; tenth++) {
    const within = pauses.filter((pause) => pause >= longest * tenth / 10 && pause < longest * (tenth + 1) / 10).length
    t.ok(within > 50 && within < 170, `the pauses are spread evenly: ${within} of 1000 in tenth ${tenth}`)
  }
})

t.test('an operation', async (t) => {
  t.test('is tried as often as the policy says, and its last error is told', async (t) => {
    const { retry, clock } = retrying({ attempts: 4 }, { random: () => 1 })
    let attempts = 0
    await t.rejects(retry.run(async () => { throw new Error(`attempt ${++attempts}`) }, { judge: lost }), { message: 'attempt 4' })
    t.strictSame(clock.pauses, [50, 100, 200])
    t.match(retry.counts, { failed: 3, succeeded: 0 })
  })

  t.test('that succeeds at last has succeeded', async (t) => {
    const { retry } = retrying()
    t.equal(await retry.run(async (_left, attempt) => attempt < 3 ? await down() : attempt, { judge: lost }), 3)
    t.match(retry.counts, { failed: 1, succeeded: 1 })
  })

  t.test('is not tried again where that is no use, nor after an answer', async (t) => {
    for (const verdict of ['final', 'answer'] as const) {
      const { retry, clock } = retrying()
      await t.rejects(retry.run(down, { judge: () => verdict }), /down/)
      t.strictSame(clock.pauses, [], verdict)
    }
  })

  t.test('begins no attempt after its deadline, be it that of the policy or of the caller', async (t) => {
    for (const [policy, deadline] of [[700, undefined], [60_000, 700]]) {
      const { retry, clock } = retrying({ attempts: 10, deadline: policy as number }, { random: () => 1 })
      const begun: number[] = []
      const left: number[] = []
      await t.rejects(retry.run(async (milliseconds) => {
        begun.push(clock.time)
        left.push(milliseconds)
        clock.time += 100
        throw new Error('down')
      }, { judge: lost, deadline }), /down/)
      t.strictSame(begun, [0, 150, 350, 650].slice(0, begun.length))
      t.strictSame(left, begun.map((time) => 700 - time))
      t.equal(begun.length, 4, 'the fifth would begin too late')
      t.equal(retry.counts.expired, 1)
    }
  })

  t.test('is given up within the pause when its caller is gone', async (t) => {
    const gone = new AbortController()
    const retry = new Retry({ dependency: 'test', policy: { attempts: 2, baseDelay: 60_000, maxDelay: 60_000, deadline: 60_000_000 }, random: () => 1 })
    const running = retry.run(down, { judge: lost, signal: gone.signal })
    gone.abort(new Error('gone'))
    await t.rejects(running, { message: 'gone' })
    t.equal(retry.counts.cancelled, 1)
    await t.rejects(retry.run(async () => { t.fail('nothing is begun for it any more') }, { judge: lost, signal: gone.signal }), { message: 'gone' })
  })

  t.test('follows a policy that changes while it runs', async (t) => {
    const policy = { ...DEFAULT_POLICY, attempts: 10, baseDelay: 1 }
    const { retry } = retrying({}, { policy })
    let attempts = 0
    await t.rejects(retry.run(async () => { if (++attempts === 2) policy.attempts = 3; return await down() }, { judge: lost }))
    t.equal(attempts, 3)
  })
})

t.test('a dependency that is down meets at most a fifth more than is asked of it', async (t) => {
  await fc.assert(fc.asyncProperty(fc.integer({ min: 100, max: 400 }), fc.integer({ min: 1, max: 50 }), fc.boolean(), async (calls, atOnce, isWarm) => {
    const { retry } = retrying({ attempts: 10 })
    if (isWarm) for (let at = 0; at < 500; at++) await retry.run(async () => {}, { judge: lost })
    let attempts = 0
    for (let done = 0; done < calls; done += atOnce) {
      await Promise.allSettled(Array.from({ length: Math.min(atOnce, calls - done) }, async () => await retry.run(async () => { attempts++; return await down() }, { judge: lost })))
    }
    return attempts <= 1.2 * calls
  }), { numRuns: 50 })
  const { retry } = retrying()
  for (let at = 0; at < 100; at++) await retry.run(down, { judge: lost }).catch(() => {})
  t.ok(retry.counts.denied > 80, 'and says how many retries it was spared')
})

t.test('a budget fills again with successes, and slowly with time', async (t) => {
  let time = 0
  const budget = new RetryBudget({ capacity: 10, perSuccess: 0.1, perSecond: 0.5, now: () => time })
  for (let at = 0; at < 10; at++) t.ok(budget.spend(1))
  t.notOk(budget.spend(1))
  for (let at = 0; at < 11; at++) budget.succeeded()
  t.ok(budget.spend(1))
  t.notOk(budget.spend(1))
  time += 2000
  t.ok(budget.spend(1))
  time += 3_600_000
  t.equal(budget.left, 10)
})
