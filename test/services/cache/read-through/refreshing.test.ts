import t from 'tap'
import { Cache } from '../../../../services/cache/cache.js'
import { DEFAULT_LIMITS } from '../../../../services/cache/limits.js'
import type { Reading } from '../../../../services/cache/reading.js'
import { LocalStore } from '../../../../services/cache/stores/local-store.js'
import { Gate, localCache, ManualClock, settled } from '../setup.js'

const isPromise = (value: unknown): boolean => value instanceof Promise

t.test('a hit late in its life is refreshed in the background, once', async (t) => {
  const { cache, clock } = localCache(t)
  const options = { ttl: 100, refreshAfter: 0.8, graceBackoff: 5 }
  const gate = new Gate<string>()
  let loads = 0
  const load = (): Promise<string> => {
    loads++
    return gate.promise
  }
  await cache.getOrSet('k', () => 'old', options)
  clock.advance(80)
  t.notOk(isPromise(cache.read('k', load, options)))
  t.equal(loads, 0, 'not before its time')
  clock.advance(1)
  for (let at = 0; at < 100; at++) {
    const reading = cache.read('k', load, options)
    t.notOk(isPromise(reading))
    t.equal((reading as Reading<string>).value, 'old')
  }
  await settled()
  gate.open('new')
  await settled()
  t.equal(loads, 1)
  t.equal((cache.read('k', load, options) as Reading<string>).value, 'new')
  t.equal((cache.read('k', load, options) as Reading<string>).ttl, 100)

  clock.advance(90)
  let failures = 0
  const fail = async (): Promise<never> => {
    failures++
    throw new Error('origin away')
  }
  for (let at = 0; at < 5; at++) {
    t.equal((cache.read('k', fail, options) as Reading<string>).value, 'new')
    await settled()
  }
  t.equal(failures, 1, 'after a failure the loader is left alone')
  clock.advance(5)
  t.notOk(isPromise(cache.read('k', fail, options)))
  await settled()
  t.equal(failures, 2)
})

t.test('a graceOn that throws in the background is told as a fault, and ends nothing', async (t) => {
  const faults: unknown[] = []
  const clock = new ManualClock()
  const store = new LocalStore({ now: clock.now, limits: DEFAULT_LIMITS })
  const cache = new Cache({ store, now: clock.now, onFault: (fault) => { faults.push(fault) } })
  t.teardown(async () => { await cache.close() })
  await cache.getOrSet('k', () => 'kept', { ttl: 100 })
  clock.advance(50)
  const fault = new Error('a mistake')
  const value = await cache.getOrSet('k', () => { throw new Error('down') }, { ttl: 100, refreshAfter: 0.1, graceOn: () => { throw fault } })
  t.equal(value, 'kept')
  await settled()
  t.same(faults, [fault])
})

t.test('XFetch: the nearer the end and the longer the load, the likelier a hit loads in the background', async (t) => {
  const { cache, clock } = localCache(t)
  const options = { ttl: 100, beta: 1 }
  let loads = 0
  const slow = async (): Promise<string> => {
    loads++
    clock.advance(10)
    return 'x'
  }
  const early = async (left: number): Promise<number> => {
    loads = 0
    for (let at = 0; at < 300; at++) {
      const key = `${left}:${at}`
      const { expiresAt } = await cache.read(key, slow, options)
      clock.at = expiresAt - left * 1000
      t.equal((cache.read(key, slow, options) as Reading<string>).status, 'hit')
      await settled()
    }
    loads -= 300
    return loads
  }
  // The chance is e^(-left / load time).
  const far = await early(60)
  const near = await early(2)
  t.ok(far < 30, `${far} of 300 at six load times before the end`)
  t.ok(near > 180, `${near} of 300 at a fifth of one`)
  loads = 0
  await cache.getOrSet('quick', () => 'x', options)
  clock.advance(99.999)
  for (let at = 0; at < 100; at++) await cache.getOrSet('quick', slow, options)
  t.equal(loads, 0, 'what is loaded in no time is not loaded early')
})
