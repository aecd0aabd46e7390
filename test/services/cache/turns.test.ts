import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { Guard } from '../../../services/cache/backends/guard.js'
import { isRefusal } from '../../../services/cache/breaker.js'
import { DeadlineError } from '../../../services/cache/deadline.js'
import { IDEMPOTENT, Resilience } from '../../../services/cache/resilience.js'
import { NoTurnError, Turns } from '../../../services/cache/turns.js'
import { down, hung, isOutage, Outage, up } from './other-side.js'

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
