import t from 'tap'
import { POLICIES, type PolicyName } from '../../../services/cache/entry.js'
import { policies } from '../../../services/cache/policies/index.js'
import { Random } from './random.js'
import { entryOf, localCache } from './setup.js'
import { type Held, orders } from './textbook.js'

t.test('every strategy has a policy', async (t) => {
  t.strictSame(Object.keys(policies).sort(), [...POLICIES].sort())
})

for (const name of POLICIES) {
  t.test(`${name} holds what it was given, and its victim is one of them`, async (t) => {
    const random = new Random()
    const seed = `seed ${random.seed}`
    const policy = new policies[name]()
    const order = orders[name]
    let capacity = 8
    policy.resize(capacity)
    const held = new Map<number, Held>()
    let step = 0
    const expiry = (): number => random.chance(0.3) ? Infinity : random.below(10)
    const wrong = (what: string): never => { throw new Error(`${what} at step ${step}, ${seed}`) }

    const check = (): void => {
      const victim = policy.victim()
      if (victim !== policy.victim()) wrong('asking for the victim changed it')
      if (held.size === 0 && victim !== -1) wrong('a victim where there is none')
      if (held.size > 0 && !held.has(victim)) wrong(`the victim ${victim} is not held`)
      if (order === undefined || held.size === 0) return
      const expected = [...held.values()].sort(order)[0] as Held
      if (victim !== expected.slot) wrong(`the victim is ${victim}, not ${expected.slot}`)
    }

    const operations: (() => void)[] = [
      function admit () {
        const free = Array.from({ length: capacity }, (_, slot) => slot).filter((slot) => !held.has(slot))
        if (free.length === 0) return
        const entry = { slot: random.pick(free), uses: 1, used: step, written: step, expiresAt: expiry() }
        policy.admit(entry.slot, entry.expiresAt, random.below(40))
        held.set(entry.slot, entry)
      },
      function touch () {
        if (held.size === 0) return
        const entry = random.pick([...held.values()])
        policy.touch(entry.slot)
        entry.uses++
        entry.used = step
      },
      function overwrite () {
        if (held.size === 0) return
        const entry = random.pick([...held.values()])
        entry.expiresAt = expiry()
        policy.replace(entry.slot, entry.expiresAt, true)
        entry.uses++
        entry.used = entry.written = step
      },
      function changeExpiry () {
        if (held.size === 0) return
        const entry = random.pick([...held.values()])
        entry.expiresAt = expiry()
        policy.replace(entry.slot, entry.expiresAt, false)
      },
      function forget () {
        if (held.size === 0) return
        const entry = random.pick([...held.values()])
        policy.forget(entry.slot, false)
        held.delete(entry.slot)
      },
      function evict () {
        const victim = policy.victim()
        if (victim === -1) return
        policy.forget(victim, true)
        held.delete(victim)
      }
    ]
    for (step = 1; step <= 6000; step++) {
      if (step % 1000 === 0) policy.resize(capacity *= 2)
      // Admissions outweigh departures at first, so that it fills; at the end it empties.
      const operation = step < 5000 ? random.pick([operations[0]!, ...operations]) : random.pick([...operations, operations[4]!, operations[5]!])
      operation()
      check()
    }
    const left = held.size
    for (let victim = policy.victim(); victim !== -1; victim = policy.victim()) {
      policy.forget(victim, true)
      if (!held.delete(victim)) wrong(`${victim} was evicted twice`)
      check()
    }
    t.equal(held.size, 0, `the ${left} entries left are evicted once each, ${seed}`)
  })
}

for (const strategy of POLICIES) {
  t.test(`under ${strategy} limits hold at every moment, and what was just written is there`, async (t) => {
    const random = new Random()
    const { cache } = localCache(t, { maxItems: 300, maxMemory: 100_000, strategy })
    const wrong: string[] = []
    for (let step = 1; step <= 10_000; step++) {
      if (step % 2000 === 0) {
        cache.configure({ maxItems: 20 + random.below(600), maxMemory: 5000 + random.below(300_000) })
        await cache.settled()
      }
      const key = `k${Math.floor(3000 * random.next() ** 3)}`
      const isDeletion = random.chance(0.05)
      if (isDeletion) await cache.delete('n', key)
      else if (await cache.get('n', key) === undefined || random.chance(0.1)) {
        await cache.set('n', key, entryOf('x'.repeat(random.below(random.chance(0.05) ? 4000 : 200))))
      }
      const { items, bytes } = cache.memoryUsage
      if (items > cache.limits.maxItems || bytes > cache.limits.maxMemory) wrong.push(`${items} entries, ${bytes} bytes at ${step}`)
      if ((await cache.peek('n', key) === undefined) !== isDeletion) wrong.push(`${key} at ${step}`)
    }
    t.strictSame(wrong.slice(0, 3), [], `seed ${random.seed}`)
    t.ok(cache.counters().evictions > 1000)
  })
}

t.test('lru evicts by the last use, lfu by the number of uses and then the last use, fifo by the write, ttl by the expiry', async (t) => {
  const victims = (name: PolicyName): number[] => {
    const policy = new policies[name]()
    policy.resize(8)
    policy.admit(0, 400, 0)
    policy.admit(1, 300, 0)
    policy.admit(2, Infinity, 0)
    policy.admit(3, 200, 0)
    policy.touch(0)
    policy.touch(3)
    policy.touch(0)
    policy.touch(1)
    policy.replace(2, 300, true)
    const order: number[] = []
    for (let victim = policy.victim(); victim !== -1; victim = policy.victim()) {
      order.push(victim)
      policy.forget(victim, true)
    }
    return order
  }
  t.strictSame(victims('lru'), [3, 0, 1, 2])
  t.strictSame(victims('lfu'), [3, 1, 2, 0])
  t.strictSame(victims('fifo'), [0, 1, 3, 2])
  t.strictSame(victims('ttl'), [3, 1, 2, 0])
})

t.test('lfu keeps nothing of use counts that nobody has any more', async (t) => {
  const Lfu = policies.lfu
  const policy = new Lfu()
  policy.resize(4)
  policy.admit(0, Infinity, 0)
  policy.admit(1, Infinity, 0)
  policy.forget(1, false)
  const before = process.memoryUsage().heapUsed
  for (let use = 0; use < 2_000_000; use++) policy.touch(0)
  const growth = (process.memoryUsage().heapUsed - before) / 2 ** 20
  t.ok(growth < 60, `two million uses of one entry cost ${growth.toFixed(0)} MiB`)
})
