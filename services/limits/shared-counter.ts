import { createHash } from 'node:crypto'
import type { Cluster, Redis } from 'ioredis'
import type { BreakerState } from '../cache/breaker.js'
import { Resilience } from '../cache/resilience.js'
import type { Policy } from './gcra.js'
import type { Quota } from './quota.js'

/** How long Redis is left alone once it did not answer, in milliseconds. Meanwhile each process limits by itself. */
const LEAVE_ALONE = 1000

/*
 * GCRA for all policies of one caller, on the clock of Redis. The key holds the theoretical arrival times, in milliseconds
 * since 1970, each with the window of its policy, and goes when the caller has all of its quota again. Where the policies have been changed since, one takes
 * over from that whose window is nearest to its own, in proportion: who has used up all of a quota has used up what takes its place. A caller may know better what it has used up
 * than a Redis that was away, or lost its data: whatever is further ahead holds. A clock that was set back cannot
 * block anybody for longer than the window.
 *
 * KEYS: the caller's. ARGV: what it costs, what is given back when that is refused, and of each policy the interval, the window,
 * and how far ahead it is at least. Answers whether it is allowed, and how far ahead each policy is then.
 */
const SCRIPT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local cost, refund = tonumber(ARGV[1]), tonumber(ARGV[2])
local policies = (#ARGV - 2) / 3
local known = {}
for window, number in string.gmatch(redis.call('GET', KEYS[1]) or '', '([^ :]+):([^ :]+)') do
  known[#known + 1] = {tonumber(window), tonumber(number) - now}
end
local function past(window)
  local found, nearest = 0, math.huge
  for i = 1, #known do
    local distance = math.abs(math.log(known[i][1] / window))
    if distance < nearest then
      nearest = distance
      found = distance == 0 and known[i][2] or known[i][2] / known[i][1] * window
    end
  end
  return found
end
local ahead, allowed = {}, 1
for i = 1, policies do
  local interval, window, least = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2])
  ahead[i] = math.min(math.max(past(window), least), window)
  if ahead[i] + cost * interval - window > 0.001 then allowed = 0 end
end
local answer, times, last = {allowed}, {}, 0
for i = 1, policies do
  local change = allowed == 1 and cost or -refund
  ahead[i] = math.max(0, ahead[i] + change * tonumber(ARGV[3 * i]))
  if ahead[i] > last then last = ahead[i] end
  times[i] = ARGV[3 * i + 1] .. ':' .. string.format('%.17g', now + ahead[i])
  answer[i + 1] = string.format('%.6f', ahead[i])
end
if last > 0 then redis.call('SET', KEYS[1], table.concat(times, ' '), 'PX', math.ceil(last)) end
return answer
`

const DIGEST = createHash('sha1').update(SCRIPT).digest('hex')
type Answer = [allowed: number, ...ahead: string[]]

export interface SharedCounterOptions {
  /** Without an offline queue. Not closed here. */
  client: Redis | Cluster
  /** Milliseconds that Redis may be silent for. */
  deadline: number
  /** Is told when Redis does not answer, with the reason, and when it does again. */
  onState?: (state: BreakerState, error?: unknown) => void
}

/** What each caller has used up, in Redis: one bucket for all processes. */
export class SharedCounter {
  readonly #client: Redis | Cluster
  readonly #deadline: number
  readonly #resilience: Resilience
  #lastError: unknown

  constructor ({ client, deadline, onState }: SharedCounterOptions) {
    this.#client = client
    this.#deadline = deadline
    this.#resilience = new Resilience({
      // Whatever Redis says instead of an answer, limits are kept: here, or else in the process.
      isOutage: (error) => {
        this.#lastError = error
        return true
      },
      breakAfter: 1,
      leaveAlone: LEAVE_ALONE,
      onState: (state) => { onState?.(state, this.#lastError) }
    })
  }

  get state (): BreakerState { return this.#resilience.state }

  /**
   * Charges the caller's bucket, when all policies permit that.
   * @param refund what is given back otherwise
   * @param atLeast how far ahead each policy is known to be, in milliseconds
   * @returns whether it was allowed, and how far ahead each is now
   * @throws when Redis does not answer in time, or not at all
   */
  async take (
    { scope, policies }: Pick<Quota, 'scope' | 'policies'>, caller: string, cost: number, refund: number, atLeast: readonly number[]
  ): Promise<{ isAllowed: boolean, ahead: number[] }> {
    // Everything of a caller is in one slot of a cluster.
    const key = `larder:limit:{${caller}}:${scope}`
    const [allowed, ...ahead] = await this.#resilience.run(async () => await this.#ask(key, [cost, refund, ...fieldsOf(policies, atLeast)]), this.#deadline)
    return { isAllowed: allowed === 1, ahead: ahead.map(Number) }
  }

  // A script that is defined on the client is missing in a pipeline that was begun before.
  async #ask (key: string, fields: number[]): Promise<Answer> {
    try {
      return await this.#client.evalsha(DIGEST, 1, key, ...fields) as Answer
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
      return await this.#client.eval(SCRIPT, 1, key, ...fields) as Answer
    }
  }
}

function fieldsOf (policies: readonly Policy[], atLeast: readonly number[]): number[] {
  return policies.flatMap(({ interval, window }, i) => [interval, window, atLeast[i] ?? 0])
}
