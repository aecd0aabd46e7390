import createError from '@fastify/error'
import type { Decision } from './gcra.js'
import type { Quota } from './quota.js'

const TooManyRequests = createError<[what: string]>('ERR_TOO_MANY_REQUESTS', '%s', 429)
export const CostError = createError<[cost: number, quota: number]>(
  'ERR_UNSUPPORTED_HERE', 'The request counts as %d, and the limit is %d: send less in one request.', 422)

/** The quota is used up. Who waits as long as it says and tries again gets through, if it is alone. */
export function tooManyRequests (quota: Quota, decision: Decision, what = 'Too many requests'): Error & { retryAfter: number } {
  const violated = quota.policies.filter((_, at) => decision.violations[at]).map(({ name }) => name)
  const retryAfter = Math.max(1, Math.ceil(decision.retryAfter / 1000))
  const { quota: most, name } = quota.policies[decision.violated]!
  return Object.assign(new TooManyRequests(`${what}: ${most} ${name.replace(/^route-/, '').replaceAll('-', ' ')} are permitted. Wait ${retryAfter} s, then go on more slowly.`), {
    retryAfter,
    members: { 'violated-policies': violated },
    headers: { 'ratelimit-policy': quota.policyHeader, ratelimit: quota.header(decision) }
  })
}
