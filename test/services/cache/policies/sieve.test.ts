import t from 'tap'
import { SievePolicy } from '../../../../services/cache/policies/sieve.js'
import { Random } from '../random.js'
import { difference, type Reference } from './bounded.js'

/** Algorithm 1 of the paper, on an array whose first element is the head, where newcomers enter. */
class Sieve implements Reference {
  readonly evicted: string[] = []
  #queue: { key: string, visited: boolean }[] = []
  #hand: { key: string, visited: boolean } | undefined
  #capacity: number

  constructor (capacity: number) { this.#capacity = capacity }

  access (key: string): boolean {
    const object = this.#queue.find((each) => each.key === key)
    if (object !== undefined) {
      object.visited = true
      return true
    }
    if (this.#queue.length === this.#capacity) this.#evict()
    this.#queue.unshift({ key, visited: false })
    return false
  }

  delete (key: string): void {
    const object = this.#queue.find((each) => each.key === key)
    if (object === undefined) return
    if (object === this.#hand) this.#hand = this.#before(object)
    this.#queue.splice(this.#queue.indexOf(object), 1)
  }

  #evict (): void {
    let object = this.#hand ?? this.#queue.at(-1)!
    while (object.visited) {
      object.visited = false
      object = this.#before(object) ?? this.#queue.at(-1)!
    }
    this.#hand = this.#before(object)
    this.#queue.splice(this.#queue.indexOf(object), 1)
    this.evicted.push(object.key)
  }

  /** The next one towards the head. */
  #before (object: { key: string, visited: boolean }) { return this.#queue[this.#queue.indexOf(object) - 1] }
}

for (const capacity of [1, 2, 10, 100]) {
  t.test(`sieve evicts what the paper evicts, with ${capacity} entries`, async (t) => {
    const random = new Random()
    t.equal(difference(new SievePolicy(), new Sieve(capacity), capacity, random), undefined, `seed ${random.seed}`)
  })
}

t.test('a used entry outlives those that came after it, once for all its uses', async (t) => {
  const policy = new SievePolicy()
  policy.resize(4)
  for (const slot of [0, 1, 2]) policy.admit(slot)
  policy.touch(0)
  policy.touch(0)
  const order: number[] = []
  for (let victim = policy.victim(); victim !== -1; victim = policy.victim()) {
    order.push(victim)
    policy.forget(victim)
  }
  t.strictSame(order, [1, 2, 0])
})

t.test('no search for a victim spares more than ten thousand', async (t) => {
  const policy = new SievePolicy()
  const entries = 50_000
  policy.resize(entries)
  for (let slot = 0; slot < entries; slot++) {
    policy.admit(slot)
    policy.touch(slot)
  }
  const victim = policy.victim()
  t.equal(victim, 10_000)
  t.equal(policy.victim(), victim, 'the same, when asked again')
  policy.forget(victim)
  t.equal(policy.victim(), 20_001, 'the next search goes on from there')
})
