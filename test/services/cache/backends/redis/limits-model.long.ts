import t from 'tap'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import { RedisBackend } from '../../../../../services/cache/backends/redis/redis.js'
import { sizeOf, type StoredEntry } from '../../../../../services/cache/entry.js'
import { DEFAULT_LIMITS } from '../../../../../services/cache/limits.js'
import { eventually } from '../../../../support/caches.js'
import { redisUrl } from '../../../../support/servers.js'

const STRATEGIES = ['lru', 'fifo', 'ttl', 'lfu'] as const
type Strategy = typeof STRATEGIES[number]
const INDEX = 'larder:test:index'

interface Modelled { strategy: Strategy, size: number, uses: number, used: number, written: number, expires: number, version: number }

/** Entries in plain maps, and the victims by the strategies' definitions. */
class Model {
  entries = new Map<string, Modelled>()
  moment = 0
  maxItems = Infinity
  maxMemory = Infinity

  get bytes (): number { return [...this.entries.values()].reduce((sum, { size }) => sum + size, 0) }

  set (key: string, entry: Pick<Modelled, 'strategy' | 'size' | 'expires' | 'version'>): void {
    const old = this.entries.get(key)
    this.#evict(entry.strategy, () => this.entries.size + (this.entries.has(key) ? 0 : 1) > this.maxItems || this.bytes - (this.entries.get(key)?.size ?? 0) + entry.size > this.maxMemory, key)
    const uses = old?.strategy === entry.strategy ? old.uses + 1 : 1
    this.entries.set(key, { ...entry, uses, used: ++this.moment, written: this.moment })
  }

  shrink (): void { this.#evict('lru', () => this.entries.size > this.maxItems || this.bytes > this.maxMemory) }

  #evict (first: Strategy, isOver: () => boolean, spared?: string): void {
    for (const strategy of [first, ...STRATEGIES.filter((name) => name !== first)]) {
      while (isOver()) {
        const candidates = [...this.entries].filter(([key, entry]) => key !== spared && entry.strategy === strategy)
        const rank = ([, { used, uses, written, expires }]: [string, Modelled]): [number, number] =>
          strategy === 'lru' ? [used, 0] : strategy === 'lfu' ? [uses, used] : strategy === 'fifo' ? [written, 0] : [expires, 0]
        const [victim] = candidates.sort((a, b) => rank(a)[0] - rank(b)[0] || rank(a)[1] - rank(b)[1])
        if (victim === undefined) break
        this.entries.delete(victim[0])
      }
    }
  }
}

const key = fc.integer({ min: 0, max: 11 }).map((n) => `k${n}`)
const command = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('set' as const), key, length: fc.integer({ min: 1, max: 900 }), strategy: fc.constantFrom(...STRATEGIES) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('read' as const), key }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('delete' as const), key }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('touch' as const), key }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('discard' as const), key }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('limit' as const), items: fc.integer({ min: 1, max: 10 }), bytes: fc.integer({ min: 1400, max: 8000 }) }) }
)

t.test('limits on redis do what a simple model does, whatever is asked of two processes', async (t) => {
  const url = await redisUrl(t)
  const client = new Redis(url)
  const backends = [0, 1].map(() => new RedisBackend({ client, prefix: 'larder:test', now: Date.now, deadline: 5000 }))
  const [first] = backends as [RedisBackend]
  t.teardown(async () => {
    for (const backend of backends) await backend.close()
    client.disconnect()
  })
  const double = (value: number): Buffer => {
    const bytes = Buffer.alloc(8)
    bytes.writeDoubleLE(value)
    return bytes
  }
  const scripted = client as Redis & { larderAccess (...parameters: (string | number | Buffer)[]): Promise<number> }

  await fc.assert(fc.asyncProperty(fc.array(command, { minLength: 10, maxLength: 40 }), async (commands) => {
    await client.flushall()
    const model = new Model()
    let turn = 0
    const limit = async (items: number, bytes: number): Promise<void> => {
      Object.assign(model, { maxItems: items, maxMemory: bytes })
      model.shrink()
      for (const backend of backends) backend.configure({ ...DEFAULT_LIMITS, maxItems: items, maxMemory: bytes })
      await eventually(async () => {
        const usage = await first.usage()
        return usage !== undefined && usage.items <= items && usage.bytes <= bytes
      }, 'the limits hold')
    }
    await limit(6, 4000)
    for (const each of commands) {
      const backend = backends[turn++ % 2] as RedisBackend
      const now = Date.now()
      const known = 'key' in each ? model.entries.get(each.key) : undefined
      if (each.do === 'limit') await limit(each.items, each.bytes)
      if (each.do === 'set') {
        const value = 'x'.repeat(each.length)
        const size = sizeOf(each.key, value, [], undefined)
        const expires = now + 100_000 + (turn * 7919) % 9973
        const version = turn
        const entry: StoredEntry = {
          namespace: 'n', key: each.key, value, dataType: 'string', tags: [], metadata: undefined, strategy: each.strategy, createdAt: now, accessedAt: now, accessCount: 0, expiresAt: expires, goneAt: expires, version, stamp: 0
        }
        if (size > model.maxMemory) await t.rejects(backend.set(entry), { code: 'ERR_ENTRY_TOO_LARGE' })
        else {
          await backend.set(entry)
          model.set(each.key, { strategy: each.strategy, size, expires, version })
        }
      }
      if (each.do === 'read' && known !== undefined) {
        const [seconds, micros] = await client.time()
        await scripted.larderAccess(`larder:test:entry:n:${each.key}`, INDEX, double(known.version), 1, double(Number(seconds) * 1000 + Number(micros) / 1000))
        known.uses++
        known.used = ++model.moment
      }
      if (each.do === 'delete') {
        await backend.delete('n', each.key)
        model.entries.delete(each.key)
      }
      if (each.do === 'touch' && known !== undefined) {
        known.expires = now + 200_000 + (turn * 7919) % 9973
        await backend.expire('n', each.key, known.version, known.expires, known.expires)
      }
      if (each.do === 'discard' && known !== undefined) {
        const scanned = []
        for await (const entries of backend.scan('n')) scanned.push(...entries)
        await backend.discard('n', scanned.filter((entry) => entry.key === each.key))
        model.entries.delete(each.key)
      }
      const names = new Set<string>()
      for await (const entries of first.scan(undefined)) for (const entry of entries) names.add(entry.key)
      const expected = [...model.entries.keys()].sort()
      if (JSON.stringify([...names].sort()) !== JSON.stringify(expected)) throw new Error(`${JSON.stringify([...names].sort())}, not ${JSON.stringify(expected)}`)
      const usage = await first.usage()
      if (usage?.items !== expected.length || usage.bytes !== model.bytes) throw new Error(`${JSON.stringify(usage)}, not ${expected.length} and ${model.bytes}`)
    }
  }), { numRuns: 60, endOnFailure: true, timeout: 60_000 })
  t.pass('sixty histories')
})
