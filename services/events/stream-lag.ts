import type { Cluster, Redis } from 'ioredis'

/**
 * Seconds for which the oldest message of a stream has been in it that a group has not done; 0 when it has done all, and while there is no
 * such group: whoever founds it begins with what the outbox says is not done.
 */
export async function streamLag (redis: Redis | Cluster, stream: string, group: string): Promise<number> {
  const told = await redis.xinfo('GROUPS', stream).catch((error: unknown) => {
    if (/no such key/i.test((error as Error).message)) return []
    throw error
  }) as (string | number | null)[][]
  const facts = told.map(pairs).find((fields) => fields.get('name') === group)
  if (facts === undefined) return 0
  const [[pending], [next], [seconds]] = await Promise.all([
    Number(facts.get('pending')) === 0 ? [] : redis.call('XPENDING', stream, group, '-', '+', 1) as Promise<[id: string][]>,
    redis.xrange(stream, `(${String(facts.get('last-delivered-id'))}`, '+', 'COUNT', 1),
    // Ids are by the clock of Redis.
    redis.time()
  ])
  const waiting = [pending?.[0], next?.[0]].flatMap((id) => id === undefined ? [] : Number(id.slice(0, id.indexOf('-'))))
  return waiting.length === 0 ? 0 : Math.max(0, Number(seconds) - Math.min(...waiting) / 1000)
}

/** A reply of names and values in turns. */
function pairs (fields: readonly (string | number | null)[]): Map<string, string | number | null> {
  return new Map(Array.from({ length: fields.length / 2 }, (_, at) => [String(fields[2 * at]), fields[2 * at + 1] ?? null]))
}
