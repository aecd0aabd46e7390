import t from 'tap'
import { S3FifoPolicy } from '../../../../services/cache/policies/s3fifo.js'
import { Random } from '../random.js'
import { Bounded, difference, type Reference } from './bounded.js'

/**
 * Algorithm 1 of the paper, on arrays whose first element is the tail, where objects leave. Ghosts are told by the count of
 * what entered their queue since (section 4.2), and bits are cleared when an object moves (section 4.1).
 */
class S3Fifo implements Reference {
  readonly evicted: string[] = []
  #small: string[] = []
  #main: string[] = []
  #uses = new Map<string, number>()
  #ghosts: (string | undefined)[] = []
  #capacity: number

  constructor (capacity: number) { this.#capacity = capacity }

  access (key: string): boolean {
    const uses = this.#uses.get(key)
    if (uses !== undefined) {
      this.#uses.set(key, Math.min(uses + 1, 3))
      return true
    }
    while (this.#uses.size === this.#capacity) this.#evict()
    const ghost = this.#ghosts.lastIndexOf(key)
    if (ghost !== -1 && this.#ghosts.length - ghost <= Math.floor(0.9 * this.#capacity)) {
      this.#main.push(key)
      this.#ghosts[ghost] = undefined
    } else this.#small.push(key)
    this.#uses.set(key, 0)
    return false
  }

  delete (key: string): void {
    this.#small = this.#small.filter((each) => each !== key)
    this.#main = this.#main.filter((each) => each !== key)
    this.#uses.delete(key)
  }

  #evict (): void {
    if (this.#main.length === 0 || this.#small.length >= 0.1 * this.#capacity) this.#evictSmall()
    else this.#evictMain()
  }

  #evictSmall (): void {
    const key = this.#small.shift() as string
    if ((this.#uses.get(key) as number) > 1) {
      this.#main.push(key)
      this.#uses.set(key, 0)
    } else {
      this.#ghosts.push(key)
      this.#leave(key)
    }
  }

  #evictMain (): void {
    const key = this.#main.shift() as string
    const uses = this.#uses.get(key) as number
    if (uses > 0) {
      this.#main.push(key)
      this.#uses.set(key, uses - 1)
    } else this.#leave(key)
  }

  #leave (key: string): void {
    this.#uses.delete(key)
    this.evicted.push(key)
  }
}

for (const capacity of [1, 2, 10, 100]) {
  t.test(`s3fifo evicts what the paper evicts, with ${capacity} entries`, async (t) => {
    const random = new Random()
    t.equal(difference(new S3FifoPolicy(), new S3Fifo(capacity), capacity, random), undefined, `seed ${random.seed}`)
  })
}

t.test('a scan passes through the small queue and leaves the rest alone', async (t) => {
  const cache = new Bounded(new S3FifoPolicy(), 100)
  const popular = Array.from({ length: 80 }, (_, at) => `popular ${at}`)
  for (let round = 0; round < 3; round++) for (const key of popular) cache.access(key)
  for (let at = 0; at < 10_000; at++) cache.access(`scan ${at}`)
  t.ok(popular.every((key) => cache.has(key)))
})

t.test('who comes back soon after it left stays longer than newcomers', async (t) => {
  const cache = new Bounded(new S3FifoPolicy(), 100)
  for (let at = 0; at < 120; at++) cache.access(`a${at}`)
  t.notOk(cache.has('a0'))
  cache.access('a0')
  for (let at = 0; at < 80; at++) cache.access(`b${at}`)
  t.ok(cache.has('a0'), 'it was remembered')
})

t.test('no search for a victim moves more than ten thousand', async (t) => {
  const policy = new S3FifoPolicy()
  const entries = 50_000
  policy.resize(entries)
  for (let slot = 0; slot < entries; slot++) {
    policy.admit(slot, Infinity, slot)
    policy.touch(slot)
    policy.touch(slot)
  }
  const victim = policy.victim()
  t.equal(victim, 10_000)
  t.equal(policy.victim(), victim, 'the same, when asked again')
})
