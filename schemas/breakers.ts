import { Type, type Static } from '@sinclair/typebox'
import { ref, timestamp } from './common.js'
import { LiveBreaker } from './live.js'

const example = { name: 'redis', state: 'open' as const, held: false, since: '2026-01-31T12:00:00.000Z', outages: 5 }

export const BreakerStatus = Type.Object({
  name: Type.String({
    description: 'As in `larder_breaker_state{name}`: `postgres`; `redis`, `memcached`, `database` and `file` (its disk) of the backends of the cache API; `memory` of its durable tier; ' +
      '`app` of the cache of the application itself',
    examples: ['redis']
  }),
  state: ref(LiveBreaker),
  held: Type.Boolean({ description: 'Whether it was opened by hand, and stays so until it is closed by hand', examples: [false] }),
  since: timestamp('Since when it has been in this state'),
  outages: Type.Integer({ minimum: 0, description: 'Consecutive outages since the server last answered', examples: [5] })
}, { $id: 'BreakerStatus', additionalProperties: false, description: 'A breaker and its state', examples: [example] })
export type BreakerStatus = Static<typeof BreakerStatus>

export const BreakersReply = Type.Object({
  breakers: Type.Array(ref(BreakerStatus))
}, {
  $id: 'BreakersReply',
  additionalProperties: false,
  description: 'Every breaker there is',
  examples: [{ breakers: [{ name: 'postgres', state: 'closed', held: false, since: '2026-01-31T09:30:00.000Z', outages: 0 }, example] }]
})

export type BreakersReply = Static<typeof BreakersReply>

export const BreakerParams = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 64, description: 'The name of a breaker, as GET /admin/breakers lists it', examples: ['redis'] })
})
