import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { Breaker, type BreakerState, breakerLevel, isRefusal } from '../../../services/cache/breaker.js'
import { Resilience } from '../../../services/cache/resilience.js'
import { DEFAULT_POLICY, Retry } from '../../../services/cache/retry.js'
import { eventually } from '../../support/caches.js'
import { down, isOutage, Outage, up } from './other-side.js'

t.test('the breaker', async (t) => {
  t.test('opens after consecutive outages, lets one operation through after its time, and closes when as many succeed as are wanted', async (t) => {
    const states: BreakerState[] = []
    const retry = new Retry({ dependency: 'test', policy: { ...DEFAULT_POLICY, trials: 2 } })
    const resilience = new Resilience({ isOutage, breakAfter: 3, leaveAlone: 50, retry, onState: (state) => { states.push(state) } })
    for (let at = 0; at < 3; at++) await t.rejects(resilience.run(down, 100), Outage)
    t.equal(resilience.state, 'open')
    let called = false
    const refusal = await resilience.run(async () => { called = true }, 100).catch((error: unknown) => error)
    t.ok(isRefusal(refusal))
    t.notOk(called, 'the other side is not asked')
    await eventually(async () => await resilience.run(async () => true, 100).catch(() => false), 'it is let through')
    t.equal(resilience.state, 'half-open')
    await resilience.run(up, 100)
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

  t.test('is held open by hand until it is closed by hand, whatever the other side answers', async (t) => {
    const breaker = new Breaker({ isOutage, breakAfter: 2, leaveAlone: 0 })
    const states: [BreakerState, boolean][] = []
    breaker.watch((state) => { states.push([state, breaker.isHeld]) })
    await t.rejects(breaker.run(down), Outage)
    let finish = (): void => {}
    const begun = breaker.run(async () => { await new Promise<void>((resolve) => { finish = resolve }) })
    breaker.hold()
    breaker.hold()
    finish()
    await begun
    t.match(breaker, { state: 'open', isHeld: true })
    t.ok(isRefusal(await breaker.run(up).catch((error: unknown) => error)), 'though its time is over, and it would answer')
    t.throws(() => { breaker.check() })
    breaker.close()
    t.match(breaker, { state: 'closed', isHeld: false, outages: 0 })
    t.equal(await breaker.run(up), true)
    t.strictSame(states, [['open', true], ['closed', false]])
  })

  t.test('refuses who waits for a trial when it is held meanwhile, and the trial decides nothing then', async (t) => {
    const breaker = new Breaker({ isOutage, breakAfter: 1, leaveAlone: 0 })
    for (const fails of [true, false]) {
      await t.rejects(breaker.run(down), Outage)
      let finish = (): void => {}
      const trial = breaker.run(async () => {
        await new Promise<void>((resolve) => { finish = resolve })
        if (fails) throw new Outage()
      }).catch((error: unknown) => error)
      await eventually(() => breaker.state === 'half-open', 'the trial is under way')
      const waiting = breaker.run(up).catch((error: unknown) => error)
      breaker.hold()
      t.ok(isRefusal(await waiting))
      if (fails) breaker.close()
      finish()
      await trial
      t.equal(breaker.state, 'open', fails ? 'what fails counts as any outage after it was closed' : 'what succeeds does not end the hold')
      t.equal(breaker.isHeld, !fails)
      breaker.close()
    }
  })

  t.test('half-open, lets one through first, and then as many at once as are still wanted; others wait for what becomes of them', async (t) => {
    const breaker = new Breaker({ isOutage, breakAfter: 1, leaveAlone: 0 })
    await t.rejects(breaker.run(down), Outage)
    const begun: (() => void)[] = []
    const all = Array.from({ length: 10 }, async () => await breaker.run(async () => { await new Promise<void>((resolve) => { begun.push(resolve) }) }))
    await eventually(() => begun.length === 1, 'one is let through')
    await turn()
    t.equal(begun.length, 1, 'alone, as a server that hangs would cost each of them a deadline')
    begun[0]!()
    await eventually(() => begun.length === 3, 'two more, since three are wanted')
    await turn()
    t.match(breaker, { state: 'half-open', outages: 0 })
    t.equal(begun.length, 3)
    begun[1]!()
    await turn()
    t.equal(begun.length, 3, 'no more than are wanted')
    begun[2]!()
    await eventually(() => breaker.state === 'closed' && begun.length === 10, 'those who waited begin together')
    for (const finish of begun) finish()
    await Promise.all(all)
  })

  t.test('half-open, opens with the first outage, refuses who waits, and what was let through besides decides nothing later', async (t) => {
    const breaker = new Breaker({ isOutage, breakAfter: 1, leaveAlone: 0 })
    await t.rejects(breaker.run(down), Outage)
    const ends: ((error?: Error) => void)[] = []
    const run = async () => await breaker.run(async () => { await new Promise<void>((resolve, reject) => { ends.push((error) => { if (error) reject(error); else resolve() }) }) })
      .catch((error: unknown) => error)
    t.equal(await breaker.run(up), true)
    const [slow, failing, waiting] = [run(), run(), run()]
    await eventually(() => ends.length === 2, 'two are under way')
    ends[1]!(new Outage())
    t.ok(await failing instanceof Outage)
    t.ok(isRefusal(await waiting))
    t.equal(breaker.state, 'open')
    t.equal(await breaker.run(up), true, 'another phase begins')
    ends[0]!()
    await slow
    t.equal(await breaker.run(up), true)
    t.equal(breaker.state, 'half-open', 'the late one is not counted')
    t.equal(await breaker.run(up), true)
    t.equal(breaker.state, 'closed')
    t.equal(ends.length, 2)
  })

  t.test('half-open, lets every operation through where they come one by one, and heeds how many are wanted by now', async (t) => {
    let wanted = 50
    const breaker = new Breaker({ isOutage, breakAfter: 1, leaveAlone: 0, trials: () => wanted })
    await t.rejects(breaker.run(down), Outage)
    for (let at = 0; at < 20; at++) t.equal(await breaker.run(up), true)
    await t.rejects(breaker.run(async () => { throw new Error('no such command') }), /no such command/, 'which is an answer as well')
    t.equal(breaker.state, 'half-open')
    wanted = 5
    t.equal(await breaker.run(up), true)
    t.equal(breaker.state, 'closed')
  })

  t.test('forgets by hand the outages that it has counted', async (t) => {
    const breaker = new Breaker({ isOutage, breakAfter: 2 })
    await t.rejects(breaker.run(down), Outage)
    t.equal(breaker.outages, 1)
    breaker.close()
    await t.rejects(breaker.run(down), Outage)
    t.equal(breaker.state, 'closed')
    await t.rejects(breaker.run(down), Outage)
    t.match(breaker, { state: 'open', outages: 2 })
  })

  t.test('does not count what the other side answers, be it an error', async (t) => {
    const resilience = new Resilience({ isOutage, breakAfter: 2 })
    for (let at = 0; at < 5; at++) await t.rejects(resilience.run(async () => { throw new Error('no such command') }, 100), /no such command/)
    t.equal(resilience.state, 'closed')
  })
})
