import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { Guard } from '../../../services/cache/backends/guard.js'
import { DeadlineError } from '../../../services/cache/deadline.js'
import { IDEMPOTENT, ONCE, type Passing, Resilience } from '../../../services/cache/resilience.js'
import { Retry } from '../../../services/cache/retry.js'
import { Turns } from '../../../services/cache/turns.js'
import { down, hung, isOutage, Outage } from './other-side.js'

const retrying = (attempts: number) => new Retry({ dependency: 'test', policy: { attempts, baseDelay: 1, maxDelay: 1, deadline: 10_000 } })

t.test('an operation that hangs ends at its deadline', async (t) => {
  const resilience = new Resilience({ isOutage })
  await t.rejects(resilience.run(hung, 20), DeadlineError)
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
