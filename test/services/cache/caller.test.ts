import t from 'tap'
import { type Caller, onLeaving, unlessGone } from '../../../services/cache/caller.js'
import { DeadlineError } from '../../../services/cache/deadline.js'
import { inOrder } from '../../../services/cache/in-order.js'
import { IDEMPOTENT, Resilience } from '../../../services/cache/resilience.js'
import { Retry } from '../../../services/cache/retry.js'
import { Turns } from '../../../services/cache/turns.js'
import { Gate, heldLoader, localCache, settled } from './setup.js'

class Outage extends Error { override name = 'Outage' }
const isOutage = (error: unknown): boolean => error instanceof Error
const GONE = new Error('gone')
/** A caller whose signal is made when it is looked at, as that of a request is. */
class Lazy implements Caller {
  readonly end = new AbortController()
  looks = 0
  get signal (): AbortSignal {
    this.looks++
    return this.end.signal
  }

  leave (): void { this.end.abort(GONE) }
}

t.test('hundreds wait for one signal, and those who need not any more are not told', async (t) => {
  const warnings: string[] = []
  const note = ({ message }: Error): void => { warnings.push(message) }
  process.on('warning', note)
  t.teardown(() => process.off('warning', note))
  const { end } = new Lazy()
  let told = 0
  const stays = Array.from({ length: 500 }, () => onLeaving(end.signal, () => { told++ }))
  for (const stay of stays.slice(0, 100)) stay()
  end.abort(GONE)
  t.equal(told, 400)
  await t.rejects(unlessGone(new Promise(() => {}), end), GONE)
  t.equal(await unlessGone(Promise.resolve(1), {}), 1)
  await settled()
  t.strictSame(warnings, [])
})

t.test('of many, those that have not begun when the caller leaves do not begin, and the others are waited for', async (t) => {
  const caller = new Lazy()
  const gate = new Gate()
  let begun = 0
  const all = inOrder(Array.from({ length: 1000 }, (_, at) => at), async () => {
    begun++
    await gate.promise
  }, caller)
  await settled()
  const before = begun
  t.ok(before > 0 && before < 1000)
  t.equal(caller.looks, 0)
  caller.leave()
  gate.open()
  await t.rejects(all, GONE)
  t.equal(begun, before)
})

t.test('an operation', async (t) => {
  const up = async (): Promise<boolean> => true

  t.test('that need not wait does not look for its caller', async (t) => {
    const caller = new Lazy()
    const resilience = new Resilience({ isOutage, turns: new Turns(1), retry: new Retry({ dependency: 'test' }) })
    t.equal(await resilience.run(up, 1000, IDEMPOTENT, false, caller), true)
    t.equal(caller.looks, 0)
  })

  t.test('whose caller leaves while it waits for its turn is not begun, and leaves the queue', async (t) => {
    const [caller, turns, gate] = [new Lazy(), new Turns(1), new Gate()]
    const resilience = new Resilience({ isOutage, turns, breakAfter: 1 })
    const before = resilience.run(async () => { await gate.promise }, 10_000)
    let begun = false
    const waiting = resilience.run(async () => { begun = true }, 10_000, undefined, false, caller)
    await settled()
    t.equal(turns.waiting, 1)
    caller.leave()
    await t.rejects(waiting, GONE)
    t.equal(turns.waiting, 0)
    gate.open()
    await before
    t.equal(await resilience.run(up, 1000), true)
    t.notOk(begun)
    t.equal(resilience.state, 'closed', 'it says nothing of the other side')
  })

  t.test('whose caller leaves while it pauses is not tried again', async (t) => {
    const caller = new Lazy()
    const retry = new Retry({ dependency: 'test', policy: { attempts: 4, baseDelay: 60_000, maxDelay: 60_000, deadline: 100_000 }, random: () => 0.9 })
    const resilience = new Resilience({ isOutage, retry, passing: () => 'undone' })
    let tries = 0
    const failing = resilience.run(async () => {
      tries++
      throw new Outage()
    }, 100_000, IDEMPOTENT, false, caller)
    await settled()
    caller.leave()
    await t.rejects(failing, GONE)
    t.equal(tries, 1)
    t.match(retry.counts, { cancelled: 1, failed: 0, succeeded: 0 })
  })

  t.test('whose caller leaves while it waits for the trial of another does not take its place', async (t) => {
    const [caller, gate] = [new Lazy(), new Gate()]
    const resilience = new Resilience({ isOutage, breakAfter: 1, leaveAlone: 0, trials: () => 1 })
    await t.rejects(resilience.run(async () => { throw new Outage() }, 1000), Outage)
    const trial = resilience.run(async () => { await gate.promise }, 10_000)
    let begun = false
    const waiting = resilience.run(async () => { begun = true }, 10_000, undefined, false, caller)
    await settled()
    caller.leave()
    await t.rejects(waiting, GONE)
    gate.open()
    await trial
    t.equal(resilience.state, 'closed')
    t.equal(await resilience.run(up, 1000), true)
    t.notOk(begun)
  })

  t.test('that is on its way when its caller leaves keeps to its deadline', async (t) => {
    const caller = new Lazy()
    const resilience = new Resilience({ isOutage })
    const hung = resilience.run(async () => await new Promise(() => {}), 50, undefined, false, caller)
    caller.leave()
    await t.rejects(hung, DeadlineError)
  })
})

t.test('a load', async (t) => {
  t.test('goes on for those who wait for it when others leave, the one who began it among them', async (t) => {
    const { cache } = localCache(t)
    const { loader, begun, release } = heldLoader('value')
    const [first, second] = [new AbortController(), new AbortController()]
    const all = [first, second].map(async ({ signal }) => await cache.getOrSet('k', loader, { signal }))
    const third = cache.getOrSet('k', loader)
    await begun
    first.abort(GONE)
    await t.rejects(all[0] as Promise<string>, GONE)
    second.abort(GONE)
    await t.rejects(all[1] as Promise<string>, GONE)
    release()
    t.equal(await third, 'value')
    t.match(cache.counters('app'), { loads: 1, loadFailures: 0, coalesced: 2 })
  })

  t.test('that nobody waits for any more is told so, and the next one who comes loads anew', async (t) => {
    const { cache } = localCache(t)
    const { end } = new Lazy()
    const told = new Gate<unknown>()
    const left = cache.getOrSet('k', async ({ signal }) => await new Promise<string>((_resolve, reject) => {
      signal?.addEventListener('abort', () => {
        told.open(signal.reason)
        reject(signal.reason as Error)
      })
    }), { signal: end.signal, graceOn: () => true, fallback: () => 'never' })
    await settled()
    end.abort(GONE)
    const next = cache.getOrSet('k', () => 'anew')
    await t.rejects(left, GONE)
    t.equal(await told.promise, GONE)
    t.equal(await next, 'anew')
    t.match(cache.counters('app'), { loads: 2, loadFailures: 0 })
  })

  t.test('whose loader does not look whether anybody waits is the only one, and is kept', async (t) => {
    const { cache } = localCache(t)
    const { loader, begun, release } = heldLoader('value')
    const { end } = new Lazy()
    const left = cache.getOrSet('k', loader, { signal: end.signal })
    await begun
    end.abort(GONE)
    await t.rejects(left, GONE)
    const next = cache.getOrSet('k', () => 'another')
    release()
    t.equal(await next, 'value')
    t.equal(cache.counters('app').loads, 1)
  })

  t.test('is not begun for a caller who has gone before', async (t) => {
    const { cache } = localCache(t)
    let loads = 0
    await t.rejects(cache.getOrSet('k', () => { loads++ }, { signal: AbortSignal.abort(GONE) }), GONE)
    await t.rejects(cache.getOrSetMany(['a', 'b'], (keys) => {
      loads++
      return keys
    }, { signal: AbortSignal.abort(GONE) }), GONE)
    await settled()
    t.equal(loads, 0)
  })

  t.test('is no matter to a hit: the signal is not looked at', async (t) => {
    const { cache } = localCache(t)
    await cache.getOrSet('k', () => 1)
    const caller = new Lazy()
    t.equal(await cache.getOrSet('k', () => 2, caller), 1)
    t.match(cache.read('k', () => 2, caller), { status: 'hit' })
    t.match(await cache.get('app', 'k', caller), { key: 'k' })
    t.equal(caller.looks, 0)
  })
})
