import { Type, type Static } from '@sinclair/typebox'
import { ref } from './common.js'

export const HealthReply = Type.Object({
  status: Type.Union([Type.Literal('healthy'), Type.Literal('unhealthy')])
}, { $id: 'HealthReply', additionalProperties: false, description: 'Whether every required part works', examples: [{ status: 'healthy' }] })
export type HealthReply = Static<typeof HealthReply>

export const LivenessReply = Type.Object({
  status: Type.Literal('alive')
}, { $id: 'LivenessReply', additionalProperties: false, description: 'The process answers', examples: [{ status: 'alive' }] })
export type LivenessReply = Static<typeof LivenessReply>

export const PartHealth = Type.Object({
  status: Type.Union([Type.Literal('up'), Type.Literal('down'), Type.Literal('disabled')], {
    description: '`disabled`: not configured, or not part of this release'
  }),
  required: Type.Boolean({ description: 'Whether the service is unhealthy without it at `/health`, and degraded at `/health/ready`' }),
  latency: Type.Optional(Type.Number({ minimum: 0, description: 'Seconds that its last check took' }))
}, {
  $id: 'PartHealth',
  additionalProperties: false,
  description: 'How one part is',
  examples: [{ status: 'up', required: true, latency: 0.0012 }]
})
export type PartHealth = Static<typeof PartHealth>

export const ReadinessReply = Type.Object({
  status: Type.Union([Type.Literal('ready'), Type.Literal('degraded'), Type.Literal('starting'), Type.Literal('stopping')], {
    description: '`degraded`: a required part is down, and what goes without it is served on'
  }),
  parts: Type.Record(Type.String(), ref(PartHealth), { description: 'The parts by name: postgres, redis, memcached, cache, file, journal, events, and coherence: down while other processes serve from the same database and each keeps a cache of its own' })
}, {
  $id: 'ReadinessReply',
  additionalProperties: false,
  description: 'Whether requests should be sent here, and how each part is',
  examples: [{
    status: 'ready',
    parts: {
      postgres: { status: 'up', required: true, latency: 0.0012 },
      redis: { status: 'up', required: false, latency: 0.0004 },
      memcached: { status: 'disabled', required: false },
      cache: { status: 'up', required: true, latency: 0 },
      file: { status: 'up', required: false, latency: 0 },
      events: { status: 'disabled', required: false },
      coherence: { status: 'disabled', required: false }
    }
  }, {
    status: 'degraded',
    parts: { postgres: { status: 'down', required: true, latency: 1.0004 }, cache: { status: 'up', required: true, latency: 0 } }
  }]
})
export type ReadinessReply = Static<typeof ReadinessReply>
