import type { Redis } from 'ioredis'
import { type Grant, type LeaseGiver, newToken, stampOf } from '../../leases.js'

/**
 * Given unless someone has one that stands: one that is not older than the last change of its key.
 *
 * KEYS lease, counter, entry. ARGV token without its stamp, milliseconds, a token that is void. Answers the token that holds now,
 * and for how long another may still have it, 0 when it is the caller's; nothing when the counter is lost.
 */
const ACQUIRE = `
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[3] then
  local order = redis.call('GETRANGE', KEYS[3], 8, 15)
  if #order < 8 or struct.unpack('<d', order) <= tonumber(string.match(held, '^%d+')) then
    return {held, math.max(redis.call('PTTL', KEYS[1]), 1)}
  end
end
local n = redis.call('HGET', KEYS[2], 'n')
if not n then return {} end
local token = n .. ARGV[1]
redis.call('SET', KEYS[1], token, 'PX', ARGV[2])
return {token, 0}
`

/** KEYS lease. ARGV token, milliseconds. */
const RENEW = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
`

/** KEYS lease. ARGV token, channel and message where it is to be told. */
const RELEASE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
if ARGV[2] then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return 1
`

const scripts = {
  larderAcquire: { lua: ACQUIRE, numberOfKeys: 3 },
  larderRenew: { lua: RENEW, numberOfKeys: 1 },
  larderRelease: { lua: RELEASE, numberOfKeys: 1 }
}

interface Scripted {
  larderAcquire (...parameters: (string | number)[]): Promise<[] | [token: string, left: number]>
  larderRenew (...parameters: (string | number)[]): Promise<number>
  larderRelease (...parameters: (string | number)[]): Promise<number>
}

export interface RedisLeasesOptions {
  client: Redis
  /** The names of things in Redis. */
  names: {
    lease: (namespace: string, key: string) => string
    entry: (namespace: string, key: string) => string
    readonly counter: string
    readonly channel: string
  }
  /** Keeps a command within its deadline. */
  run: <T>(command: () => Promise<T>) => Promise<T>
  /** The last stamp; begins the counter when there is none. */
  stamp: () => Promise<number>
  /** What is published when a lease is given back and nothing was stored. */
  released: (namespace: string, key: string) => string
}

/** One string per lease, its token, that expires by Redis' own means when its holder dies. */
export class RedisLeases implements LeaseGiver {
  #options: RedisLeasesOptions
  #client: Redis & Scripted

  constructor (options: RedisLeasesOptions) {
    const { client } = options
    for (const [name, script] of Object.entries(scripts)) if (!(name in client)) client.defineCommand(name, script)
    this.#options = options
    this.#client = client as Redis & Scripted
  }

  async acquire (namespace: string, key: string, milliseconds: number, over = ''): Promise<Grant> {
    const { names, run, stamp } = this.#options
    const random = newToken(0).slice(1)
    for (;;) {
      const [token, left] = await run(async () => await this.#client.larderAcquire(
        names.lease(namespace, key), names.counter, names.entry(namespace, key), random, Math.ceil(milliseconds), over))
      if (token === undefined) await stamp()
      else if (left === 0) return { isMine: true, token, stamp: stampOf(token) }
      else return { isMine: false, token, stamp: stampOf(token), left: left as number }
    }
  }

  async renew (namespace: string, key: string, token: string, milliseconds: number): Promise<boolean> {
    const { names, run } = this.#options
    return await run(async () => await this.#client.larderRenew(names.lease(namespace, key), token, Math.ceil(milliseconds))) === 1
  }

  async release (namespace: string, key: string, token: string, tell: boolean): Promise<void> {
    const { names, run, released } = this.#options
    await run(async () => await this.#client.larderRelease(
      names.lease(namespace, key), token, ...tell ? [names.channel, released(namespace, key)] : []))
  }
}
