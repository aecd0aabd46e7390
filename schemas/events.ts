import { Type, type Static } from '@sinclair/typebox'
import { NAMESPACE } from './config.js'
import { cursor, limit, nextCursor, ref, timestamp } from './common.js'
import { storedText } from './stored-text.js'

const example = {
  specversion: '1.0' as const,
  id: '019c1f5e-8f4b-7c3e-9a51-2f6d1c0b7a44',
  source: '/larder' as const,
  type: 'recipe.created',
  time: '2026-01-31T12:00:00.000Z',
  subject: 'recipes/7',
  sequence: 1,
  datacontenttype: 'application/json' as const,
  data: { id: 7, title: 'Focaccia' }
}

const members = {
  id: Type.String({ description: 'Unique; later ones sort later', examples: [example.id] }),
  type: Type.String({ description: 'What happened to what', examples: [example.type] }),
  subject: Type.String({ description: 'What it happened to; the channel of one that was published, in another namespace than `default` as in `namespaces/shop/kitchen`', examples: [example.subject] }),
  data: Type.Unknown({ description: 'The thing as it is since then, or what identified it' })
}

export const Event = Type.Object({
  specversion: Type.Literal('1.0'),
  id: members.id,
  source: Type.Literal('/larder'),
  type: members.type,
  time: timestamp('When it happened'),
  subject: members.subject,
  sequence: Type.Optional(Type.Integer({ minimum: 1, description: 'Counts the events about the subject, in the order in which they happened: a number that is missing tells of one that was missed', examples: [3] })),
  traceparent: Type.Optional(Type.String({ description: 'The span in which it was recorded, as in the header of that name; where that was traced', examples: ['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'] })),
  datacontenttype: Type.Literal('application/json'),
  data: members.data
}, { $id: 'Event', additionalProperties: false, description: 'Something that happened, as a CloudEvent 1.0', examples: [example] })
export type Event = Static<typeof Event>

export const EventGap = Type.Object({ reason: Type.String({ description: 'Why' }) }, {
  $id: 'EventGap',
  additionalProperties: false,
  description: 'Said by a message named `gap`: events may have been missed',
  examples: [{ reason: 'The event in Last-Event-ID is not kept any more' }]
})
export type EventGap = Static<typeof EventGap>

export const StreamedEvent = Type.Union([ref(Event), ref(EventGap)], {
  $id: 'StreamedEvent', description: 'What a message of the stream carries', examples: [example]
})
export type StreamedEvent = Static<typeof StreamedEvent>

export const NewEvent = Type.Object({
  channel: Type.String({ pattern: '^[A-Za-z][A-Za-z0-9_-]{0,63}$', description: 'What it is about; the first part of its type', examples: ['kitchen'] }),
  namespace: Type.Optional(Type.String({ pattern: NAMESPACE, default: 'default', description: 'Credentials that are limited to other namespaces do not hear of it', examples: ['shop'] })),
  event: Type.Record(Type.String(), Type.Unknown(), { description: 'Any object. A `type` in it becomes the rest of the type, or the type where it begins with the channel already; without one that is `published`' })
}, { $id: 'NewEvent', additionalProperties: false, description: 'An event to publish', examples: [{ channel: 'kitchen', event: { type: 'opened', by: 'Alice' } }] })
export type NewEvent = Static<typeof NewEvent>

const letter = {
  id: '12',
  consumer: 'cache',
  attempts: 5,
  error: 'The cache is away',
  failed_at: example.time,
  event: { id: example.id, type: example.type, subject: example.subject, time: example.time, data: example.data }
}

export const DeadLetter = Type.Object({
  id: Type.String({ description: 'To have it tried again by', examples: ['12'] }),
  consumer: Type.String({ description: 'Who gave it up', examples: ['cache'] }),
  attempts: Type.Integer({ minimum: 1, examples: [5] }),
  error: Type.String({ description: 'Why the last attempt failed', examples: ['The cache is away'] }),
  failed_at: timestamp('When the last attempt failed'),
  event: Type.Object({ ...members, time: timestamp('When it happened') }, { additionalProperties: false })
}, {
  $id: 'DeadLetter',
  additionalProperties: false,
  description: 'An event that a consumer has given up',
  examples: [letter]
})
export type DeadLetter = Static<typeof DeadLetter>

export const DeadLetterListReply = Type.Object({ dead_letters: Type.Array(ref(DeadLetter)), next_cursor: nextCursor }, {
  $id: 'DeadLetterListReply', additionalProperties: false, description: 'The oldest first', examples: [{ dead_letters: [letter] }]
})
export type DeadLetterListReply = Static<typeof DeadLetterListReply>

export const DeadLetterParams = Type.Object({ id: Type.String({ pattern: '^[0-9]{1,18}$', examples: ['12'] }) }, { additionalProperties: false })
export const DeadLetterQuery = Type.Object({ limit, cursor }, { additionalProperties: false })
export const EventQuery = Type.Object({
  types: Type.Optional(storedText({ minLength: 1, maxLength: 500, description: 'Only of these types, separated by commas; `*` stands for any run of characters', examples: ['recipe.*'] }))
}, { additionalProperties: false })
