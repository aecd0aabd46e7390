import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { Guard } from '../../../services/cache/backends/guard.js'
import { DeadlineError } from '../../../services/cache/deadline.js'
import { Breaker, type BreakerState, breakerLevel, isRefusal } from '../../../services/cache/breaker.js'
import { IDEMPOTENT, ONCE, type Passing, Resilience } from '../../../services/cache/resilience.js'
import { DEFAULT_POLICY, Retry } from '../../../services/cache/retry.js'
import { NoTurnError, Turns } from '../../../services/cache/turns.js'
import { eventually } from '../../support/caches.js'

class Outage extends Error { override name = 'Outage' }
const isOutage = (error: unknown): boolean => error instanceof Outage || error instanceof DeadlineError
const down = async (): Promise<never> => { throw new Outage('down') }
const up = async (): Promise<boolean> => true
const retrying = (attempts: number) => new Retry({ dependency: 'test', policy: { attempts, baseDelay: 1, maxDelay: 1, deadline: 10_000 } })
const hung = async (): Promise<never> => await new Promise(() => {})

t.test('an operation that hangs ends at its deadline', async (t) => {
  const resilience = new Resilience({ isOutage })
  await t.rejects(resilience.run(hung, 20), DeadlineError)
})

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

t.test('retries', async (t) => {
  const passing = (error: unknown) => error instanceof Outage ? error.message as Passing : undefined
  const failingWith = (kind: Passing, times: number) => {
    let calls = 0
    return { calls: () => calls, run: async () => { if (++calls <= times) throw new Outage(kind); return calls } }
  }

  t.test('are none unless they are asked for, of the whole and of the operation', async (t) => {
    const operation = failingWith('lost', 1)
    await t.rejects(new Resilience({ isOutage, passing }).run(operation.run, 100, IDEMPOTENT), Outage)
    t.equal(operation.calls(), 1)
    const other = failingWith('unsent', 1)
    await t.rejects(new Resilience({ isOutage, passing, retry: retrying(3) }).run(other.run, 100), Outage)
    t.equal(other.calls(), 1)
  })

  t.test('are as many as the policy says, after what passes alone', async (t) => {
    t.equal(await new Resilience({ isOutage, passing, retry: retrying(3) }).run(failingWith('lost', 2).run, 1000, IDEMPOTENT), 3)
    const tooOften = failingWith('lost', 5)
    await t.rejects(new Resilience({ isOutage, passing, retry: retrying(3) }).run(tooOften.run, 1000, IDEMPOTENT), Outage)
    t.equal(tooOften.calls(), 3)
    for (const lasting of [new Error('wrong'), new DeadlineError(5)]) {
      let calls = 0
      await t.rejects(new Resilience({ isOutage, passing, retry: retrying(6) }).run(async () => { calls++; throw lasting }, 1000, IDEMPOTENT), lasting)
      t.equal(calls, 1, lasting.message)
    }
  })

  t.test('of what must not be done twice follow only what was not done', async (t) => {
    for (const [kind, calls] of [['lost', 1], ['undone', 2], ['unsent', 2]] as const) {
      const operation = failingWith(kind, 1)
      await new Resilience({ isOutage, passing, retry: retrying(3) }).run(operation.run, 1000, ONCE).catch(() => {})
      t.equal(operation.calls(), calls, kind)
    }
  })

  t.test('are not made behind what has overtaken the operation', async (t) => {
    const operation = failingWith('unsent', 9)
    let isOvertaken = false
    const running = new Resilience({ isOutage, passing, retry: retrying(9) })
      .run(async () => { isOvertaken = operation.calls() === 2; return await operation.run() }, 1000, { isIdempotent: true, isOvertaken: () => isOvertaken })
    await t.rejects(running, Outage)
    t.equal(operation.calls(), 3)
  })

  t.test('all end with the deadline of the operation', async (t) => {
    let calls = 0
    const resilience = new Resilience({ isOutage, passing, retry: retrying(9) })
    const begun = performance.now()
    await t.rejects(resilience.run(async () => { if (++calls === 1) throw new Outage('lost'); return await hung() }, 60, IDEMPOTENT), DeadlineError)
    t.equal(calls, 2)
    t.ok(performance.now() - begun < 120, 'the second try had what the first one left')
  })

  t.test('wait for a connection, which costs no attempt and nothing of the budget, and end with the deadline', async (t) => {
    let isConnected = false
    const retry = retrying(2)
    const resilience = new Resilience({ isOutage, passing, retry, isConnected: () => isConnected })
    const operation = failingWith('unsent', 1)
    const running = resilience.run(operation.run, 5000, ONCE)
    setTimeout(() => { isConnected = true }, 30)
    t.equal(await running, 2, 'nothing is tried without')
    t.equal(retry.budget.left, 10)
    t.match(retry.counts, { succeeded: 1, failed: 0 })
    isConnected = false
    await t.rejects(resilience.run(failingWith('unsent', 99).run, 20, ONCE), Outage)
    t.match(retry.counts, { expired: 1, failed: 0 })
    const never = failingWith('unsent', 1)
    await t.rejects(new Resilience({ isOutage, passing, retry: retrying(1) }).run(never.run, 100, IDEMPOTENT), Outage, 'unless the policy has a single attempt')
  })

  t.test('end when the breaker opens, which counts an operation once', async (t) => {
    const retry = retrying(4)
    const resilience = new Resilience({ isOutage, passing, retry, breakAfter: 2, leaveAlone: 10_000 })
    await t.rejects(resilience.run(failingWith('lost', 9).run, 1000, IDEMPOTENT), Outage)
    t.equal(resilience.state, 'closed')
    const waiting = resilience.run(failingWith('unsent', 999).run, 10_000, IDEMPOTENT)
    await t.rejects(resilience.run(failingWith('lost', 9).run, 1000, IDEMPOTENT), Outage)
    t.equal(resilience.state, 'open')
    await t.rejects(waiting, Outage)
    t.equal(retry.counts.denied, 1)
  })

  t.test('let others have their turn while they pause', async (t) => {
    const turns = new Turns(1)
    let isConnected = false
    const resilience = new Resilience({ isOutage, passing, retry: retrying(3), isConnected: () => isConnected, turns })
    const waiting = resilience.run(failingWith('unsent', 1).run, 5000, ONCE)
    t.equal(await resilience.run(async () => 'other', 1000), 'other')
    isConnected = true
    t.equal(await waiting, 2)
  })

  t.test('end with the deadline also where others have the turns for longer', async (t) => {
    const turns = new Turns(1)
    const retry = retrying(9)
    const resilience = new Resilience({ isOutage, passing, retry, turns })
    const operation = failingWith('lost', 99)
    let release = (_: string): void => {}
    const failing = resilience.run(operation.run, 50, IDEMPOTENT)
    const other = resilience.run(async () => await new Promise<string>((resolve) => { release = resolve }), 60_000)
    await t.rejects(failing, { message: 'lost' })
    t.equal(operation.calls(), 1)
    t.match(retry.counts, { failed: 0, expired: 1 })
    release('other')
    t.equal(await other, 'other')
    t.equal(await resilience.run(async () => 'next', 1000), 'next', 'the turn that nobody waits for any more is given on')
    t.equal(operation.calls(), 1)
  })
})

t.test('a connection that is lost under many operations is one outage', async (t) => {
  const resilience = new Resilience({ isOutage, passing: () => 'lost', breakAfter: 2 })
  let lose = (_: Error): void => {}
  const connection = new Promise<never>((_resolve, reject) => { lose = reject })
  const all = Promise.allSettled(Array.from({ length: 50 }, async () => await resilience.run(async () => await connection, 1000)))
  lose(new Outage('lost'))
  await all
  t.equal(resilience.state, 'closed')
  await t.rejects(resilience.run(down, 1000), Outage)
  t.equal(resilience.state, 'open')
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

t.test('turns', async (t) => {
  /** An operation that ends when it is told to. */
  const held = () => {
    let end = (): void => {}
    const ended = new Promise<void>((resolve) => { end = resolve })
    const operation = { begun: 0, end, run: async () => { operation.begun++; await ended } }
    return operation
  }
  const failure = async (running: Promise<unknown>): Promise<unknown> => await running.then(() => 'none', (error: unknown) => error)

  t.test('are waited for within the deadline, where nothing is answered', async (t) => {
    const turns = new Turns(1)
    const resilience = new Resilience({ isOutage, turns, breakAfter: 5 })
    const began = performance.now()
    const first = failure(resilience.run(hung, 100))
    const [waiting, other] = [held(), held()]
    const [second, third] = [failure(resilience.run(waiting.run, 60)), failure(resilience.run(other.run, 80, IDEMPOTENT))]
    t.equal(turns.waiting, 2)
    for (const each of [first, second, third]) t.type(await each, DeadlineError)
    t.ok(performance.now() - began < 180, 'not one after the other')
    t.match(turns, { waiting: 0, refused: 0 })
    t.equal(resilience.switch.outages, 3, 'which says as much of the other side as an operation of theirs would')
    other.end()
    await resilience.run(other.run, 1000)
    t.strictSame([waiting.begun, other.begun], [0, 1], 'what has given up does not begin')
  })

  t.test('come later than that where others are answered, which is no outage when it is too late', async (t) => {
    const turns = new Turns(1)
    const resilience = new Resilience({ isOutage, turns, breakAfter: 1, patience: 400 })
    const step = async (): Promise<number> => {
      await delay(30)
      return performance.now()
    }
    const began = performance.now()
    const all = await Promise.all(Array.from({ length: 30 }, async () => await resilience.run(step, 100).catch((error: unknown) => {
      // What is done about those that come to nothing holds the process up, and is no silence of the other side.
      for (const end = performance.now() + 10; performance.now() < end;);
      return error
    })))
    const answered = all.filter((each) => typeof each === 'number')
    t.ok(answered.some((at) => at - began > 110), 'past one deadline')
    const late = all.slice(answered.length)
    t.ok(late.length > 10, 'but not for ever')
    t.ok(late.every((error) => error instanceof NoTurnError))
    t.equal(turns.late, late.filter((error) => error instanceof NoTurnError).length)
    t.equal(resilience.state, 'closed')
    t.equal(await resilience.run(up, 100), true)
  })

  t.test('are not waited for by more than may, and in order', async (t) => {
    const turns = new Turns(1, 3)
    const guard = new Guard({ name: 'redis', away: 'It is away.', isOutage, isFull: () => false, turns })
    const running = held()
    const order: number[] = []
    const operations = [guard.run(running.run, 5000)]
    for (let at = 0; at < 3; at++) operations.push(guard.run(async () => { order.push(at) }, 5000))
    t.match(turns, { waiting: 3, refused: 0 })
    const refusal = await failure(guard.run(async () => { order.push(9) }, 5000))
    t.match(refusal, { code: 'ERR_BACKEND_UNAVAILABLE', statusCode: 503, message: /^More is asked of redis at once/ })
    t.match(turns, { waiting: 3, refused: 1, late: 0 })
    t.equal(await guard.run(up, 5000, undefined, true), true, 'what is urgent waits for none')
    t.equal(guard.state, 'closed')
    running.end()
    await Promise.all(operations)
    t.strictSame(order, [0, 1, 2])
    t.equal(await guard.run(up, 100), true)
    t.equal(turns.waiting, 0)
  })

  t.test('that nobody waits for any more leave the queue, wherever they stand in it', async (t) => {
    const turns = new Turns(1)
    const order: string[] = []
    t.ok(turns.begin())
    t.notOk(turns.begin())
    const places = ['a', 'b', 'c', 'd', 'e'].map((name) => turns.queue(() => {
      order.push(name)
      return true
    }))
    for (const at of [2, 0, 4]) turns.leave(places[at]!)
    turns.leave(places[0]!)
    t.match(turns, { waiting: 2, late: 3 })
    turns.pass()
    turns.leave(places[1]!)
    turns.pass()
    turns.pass()
    t.strictSame(order, ['b', 'd'])
    t.match(turns, { waiting: 0, late: 3 })
    t.ok(turns.begin(), 'and the turn is there again')
  })

  t.test('are refused, all at once, when the breaker opens', async (t) => {
    const turns = new Turns(1)
    const resilience = new Resilience({ isOutage, turns, breakAfter: 1, leaveAlone: 60_000 })
    let fail = (_: Error): void => {}
    const begun = failure(resilience.run(async () => await new Promise((_resolve, reject) => { fail = reject }), 60_000))
    const waiting = Array.from({ length: 500 }, async () => await failure(resilience.run(hung, 60_000)))
    t.equal(turns.waiting, 500)
    fail(new Outage())
    t.type(await begun, Outage)
    t.ok((await Promise.all(waiting)).every(isRefusal))
    t.ok(isRefusal(await failure(resilience.run(up, 60_000))))
  })

  t.test('do not lengthen the wait for what becomes of a trial', async (t) => {
    const resilience = new Resilience({ isOutage, turns: new Turns(2), breakAfter: 1, leaveAlone: 0 })
    await t.rejects(resilience.run(down, 100), Outage)
    const trial = held()
    const trying = resilience.run(trial.run, 60_000)
    const waiting = held()
    t.type(await failure(resilience.run(waiting.run, 30)), DeadlineError)
    trial.end()
    await trying
    t.equal(resilience.state, 'half-open')
    t.equal(waiting.begun, 0, 'its place among the trials is left to others')
    for (let at = 0; at < 2; at++) t.equal(await resilience.run(up, 100), true)
    t.equal(resilience.state, 'closed')
  })
})
