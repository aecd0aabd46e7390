import { Type, type Static } from '@sinclair/typebox'
import { cursor, limit, nextCursor, ref, timestamp } from './common.js'
import { storedText } from './stored-text.js'

const id = Type.String({ format: 'uuid', description: 'Of the webhook', examples: ['0198c2a4-7d3f-4c11-9c5e-2f6f0f8a1b2c'] })
const url = storedText({ minLength: 1, maxLength: 2000, description: 'Where events are posted: https, at a host that `WEBHOOK_HOSTS` names, without a credential', examples: ['https://hooks.example.com/larder'] })
const patterns = storedText({ minLength: 1, maxLength: 500, description: 'Only events of these types, separated by commas; `*` stands for any run of characters', examples: ['recipe.*,product.deleted'] })
const types = Type.Union([patterns, Type.Null()], { description: 'Only events of these types, separated by commas, `*` for any run of characters; null: all' })
const description = storedText({ maxLength: 200, description: 'For people', examples: ['Search index'] })
const example = {
  id: '0198c2a4-7d3f-4c11-9c5e-2f6f0f8a1b2c',
  url: 'https://hooks.example.com/larder',
  types: 'recipe.*',
  description: 'Search index',
  state: 'active' as const,
  created_by: 'key:0198c2a4-7d3f-7c11-9c5e-2f6f0f8a1b2c',
  created_at: '2026-01-31T12:00:00.000Z',
  updated_at: '2026-01-31T12:00:00.000Z'
}
const secretExample = `whsec_${'A'.repeat(43)}=`

export const NewWebhook = Type.Object({ url, types: Type.Optional(types), description: Type.Optional(description) }, {
  $id: 'NewWebhook', additionalProperties: false, description: 'Where to send which events', examples: [{ url: example.url, types: example.types, description: example.description }]
})
export type NewWebhook = Static<typeof NewWebhook>

export const WebhookChanges = Type.Object({
  url: Type.Optional(url),
  types: Type.Optional(types),
  description: Type.Optional(description),
  state: Type.Optional(Type.Unsafe<'active' | 'paused'>(Type.String({ enum: ['active', 'paused'], description: 'While it is paused, events wait; `active` begins again, also where it was disabled' })))
}, { $id: 'WebhookChanges', additionalProperties: false, minProperties: 1, description: 'What is to be different', examples: [{ state: 'paused' as const }] })
export type WebhookChanges = Static<typeof WebhookChanges>

const members = {
  id,
  url,
  types,
  description,
  state: Type.Unsafe<'active' | 'paused' | 'disabled'>(Type.String({ enum: ['active', 'paused', 'disabled'], description: '`disabled`: nothing is sent until it is made active again' })),
  reason: Type.Optional(Type.String({ description: 'Why it is disabled' })),
  created_by: Type.String({ description: 'It gets events that this caller might know of as it was made; when their API key ends, so does the webhook', examples: ['administrator'] }),
  created_at: timestamp('When it was made'),
  updated_at: timestamp('When it was last changed')
}

export const Webhook = Type.Object(members, { $id: 'Webhook', additionalProperties: false, description: 'Somewhere that events are sent to', examples: [example] })
export type Webhook = Static<typeof Webhook>

export const IssuedWebhook = Type.Object({
  ...members,
  secret: Type.String({ description: 'To verify signatures with, as libraries of Standard Webhooks take it. It is not shown again', examples: [secretExample] })
}, { $id: 'IssuedWebhook', additionalProperties: false, description: 'A webhook with its new secret', examples: [{ ...example, secret: secretExample }] })
export type IssuedWebhook = Static<typeof IssuedWebhook>

export const WebhookListReply = Type.Object({ webhooks: Type.Array(ref(Webhook)) }, {
  $id: 'WebhookListReply', additionalProperties: false, description: 'The webhooks there are, the oldest first', examples: [{ webhooks: [example] }]
})
export type WebhookListReply = Static<typeof WebhookListReply>

const state = Type.Unsafe<'pending' | 'delivered' | 'failed'>(Type.String({ enum: ['pending', 'delivered', 'failed'], description: '`failed`: given up' }))
const orNull = <S extends Parameters<typeof Type.Union>[0][number]>(schema: S) => Type.Union([schema, Type.Null()])
const delivery = {
  id: '12',
  event_id: '019c1f5e-8f4b-7c3e-9a51-2f6d1c0b7a44',
  type: 'recipe.created',
  state: 'pending' as const,
  attempts: 1,
  status: 503,
  error: 'The receiver answered with 503',
  created_at: example.created_at,
  tried_at: example.created_at,
  next_attempt_at: '2026-01-31T12:00:05.000Z'
}

export const WebhookDelivery = Type.Object({
  id: Type.String({ description: 'To have it sent again by', examples: [delivery.id] }),
  event_id: Type.String({ description: 'Of the event; `webhook-id` of its messages' }),
  type: Type.String({ description: 'Of the event' }),
  state,
  attempts: Type.Integer({ minimum: 0 }),
  status: orNull(Type.Integer({ description: 'Of the last answer' })),
  error: orNull(Type.String({ description: 'Why the last attempt failed' })),
  created_at: timestamp('When it was noted'),
  tried_at: orNull(timestamp('When it was sent last')),
  next_attempt_at: orNull(timestamp('When it is sent next'))
}, { $id: 'WebhookDelivery', additionalProperties: false, description: 'One event on its way to a webhook', examples: [delivery] })
export type WebhookDelivery = Static<typeof WebhookDelivery>

export const WebhookDeliveriesReply = Type.Object({ deliveries: Type.Array(ref(WebhookDelivery)), next_cursor: nextCursor }, {
  $id: 'WebhookDeliveriesReply', additionalProperties: false, description: 'The newest first; what is through is listed for 30 days', examples: [{ deliveries: [delivery] }]
})
export type WebhookDeliveriesReply = Static<typeof WebhookDeliveriesReply>

export const WebhookParams = Type.Object({ id }, { additionalProperties: false })
export const WebhookDeliveryParams = Type.Object({ id, delivery: Type.String({ pattern: '^[0-9]{1,18}$', description: 'The id of the delivery', examples: ['12'] }) }, { additionalProperties: false })
export const WebhookDeliveriesQuery = Type.Object({ limit, cursor, state: Type.Optional(state) }, { additionalProperties: false })
