import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { Guard } from '../../../services/cache/backends/guard.js'
import { DeadlineError } from '../../../services/cache/deadline.js'
import { Breaker, type BreakerState, breakerLevel, isRefusal, Resilience } from '../../../services/cache/resilience.js'
import { Retry } from '../../../services/cache/retry.js'
import { eventually } from '../../support/caches.js'

class Outage extends Error { override name = 'Outage' }
const isOutage = (error: unknown): boolean => error instanceof Outage || error instanceof DeadlineError
const down = async (): Promise<never> => { throw new Outage('down') }
const retrying = (attempts: number) => new Retry({ dependency: 'test', policy: { attempts, baseDelay: 1, maxDelay: 1, deadline: 10_000 } })
const hung = async (): Promise<never> => await new Promise(() => {})

t.test('an operation that hangs ends at its deadline', async (t) => {
  const resilience = new Resilience({ isOutage })
  await t.rejects(resilience.run(hung, 20), DeadlineError)
})

t.test('the breaker', async (t) => {
  t.test('opens after consecutive outages, lets one operation through after its time, and closes when that succeeds', async (t) => {
    const states: BreakerState[] = []
    const resilience = new Resilience({ isOutage, breakAfter: 3, leaveAlone: 50, onState: (state) => { states.push(state) } })
    for (let at = 0; at < 3; at++) await t.rejects(resilience.run(down, 100), Outage)
    t.equal(resilience.state, 'open')
    let called = false
    const refusal = await resilience.run(async () => { called = true }, 100).catch((error: unknown) => error)
    t.ok(isRefusal(refusal))
    t.notOk(called, 'the other side is not asked')
    await eventually(async () => await resilience.run(async () => true, 100).catch(() => false), 'it is let through')
    t.equal(resilience.state, 'closed')
    t.strictSame(states, ['open', 'half-open', 'closed'])
    t.strictSame(states.map(breakerLevel), [2, 1, 0])
  })

  t.test('opens again when the operation that was let through fails', async (t) => {
    const resilience = new Resilience({ isOutage, breakAfter: 1, leaveAlone: 20 })
    await t.rejects(resilience.run(down, 100), Outage)
    await eventually(async () => await resilience.run(down, 100).catch((error: unknown) => error instanceof Outage), 'it is let through')
    t.equal(resilience.state, 'open')
  })

  t.test('says so beforehand while it leaves the other side alone', async (t) => {
    const breaker = new Breaker({ isOutage, breakAfter: 1, leaveAlone: 20 })
    breaker.check()
    await t.rejects(breaker.run(down), Outage)
    let refusal: unknown
    try { breaker.check() } catch (error) { refusal = error }
    t.ok(isRefusal(refusal))
    await eventually(() => { try { breaker.check(); return true } catch { return false } }, 'one may be let through')
    t.equal(breaker.state, 'open')
  })

  t.test('does not count what the other side answers, be it an error', async (t) => {
    const resilience = new Resilience({ isOutage, breakAfter: 2 })
    for (let at = 0; at < 5; at++) await t.rejects(resilience.run(async () => { throw new Error('no such command') }, 100), /no such command/)
    t.equal(resilience.state, 'closed')
  })
})

t.test('retries', async (t) => {
  const failing = (times: number) => {
    let calls = 0
    return { calls: () => calls, run: async () => { if (++calls <= times) throw new Outage('down'); return calls } }
  }

  t.test('are none unless they are asked for', async (t) => {
    const operation = failing(1)
    await t.rejects(new Resilience({ isOutage }).run(operation.run, 100), Outage)
    t.equal(operation.calls(), 1)
  })

  t.test('are as many as asked for, after outages alone', async (t) => {
    const operation = failing(2)
    t.equal(await new Resilience({ isOutage, retry: retrying(3) }).run(operation.run, 100), 3)
    const tooOften = failing(5)
    await t.rejects(new Resilience({ isOutage, retry: retrying(3) }).run(tooOften.run, 100), Outage)
    t.equal(tooOften.calls(), 3)
    let answers = 0
    await t.rejects(new Resilience({ isOutage, retry: retrying(6) }).run(async () => { answers++; throw new Error('wrong') }, 100), /wrong/)
    t.equal(answers, 1)
  })

  t.test('do not follow an outage that is said to be lasting, nor a refusal of the breaker', async (t) => {
    const lasting = failing(5)
    await t.rejects(new Resilience({ isOutage, retry: retrying(6), isTransient: () => false }).run(lasting.run, 100), Outage)
    t.equal(lasting.calls(), 1)
    const broken = failing(99)
    const refusal = await new Resilience({ isOutage, retry: retrying(10), breakAfter: 2 }).run(broken.run, 100).catch((error: unknown) => error)
    t.ok(isRefusal(refusal))
    t.equal(broken.calls(), 2)
  })
})

t.test('a guard says in the words of the cache what went wrong', async (t) => {
  const guard = new Guard({ name: 'redis', away: 'It is away.', breakAfter: 2, isOutage, isFull: ({ message }) => message === 'full' })
  await t.rejects(guard.run(async () => { throw new Error('full') }, 100), { code: 'ERR_BACKEND_FULL', statusCode: 507 })
  await t.rejects(guard.run(async () => { throw new Error('wrong') }, 100), { message: 'wrong' })
  for (let at = 0; at < 3; at++) await t.rejects(guard.run(down, 100), { code: 'ERR_BACKEND_UNAVAILABLE', statusCode: 503, message: 'It is away.' })
  t.equal(guard.state, 'open')
})

t.test('a server that is behind with its work is waited for, one that says nothing is not', async (t) => {
  const resilience = new Resilience({ isOutage })
  const answering = setInterval(() => { void resilience.run(async () => 'other', 50) }, 10)
  t.teardown(() => { clearInterval(answering) })
  const slow = async (milliseconds: number): Promise<string> => await resilience.run(async () => {
    await delay(milliseconds)
    return 'late'
  }, 50)
  t.equal(await slow(120), 'late', 'others are answered meanwhile')
  await t.rejects(slow(1000), DeadlineError, 'but not for ever')
  clearInterval(answering)
  await delay(60)
  await t.rejects(slow(120), DeadlineError)
})
