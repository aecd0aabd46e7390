import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { cursor, limit, nextCursor, ref, timestamp } from './common.js'
import { storedText } from './stored-text.js'

const orNull = <S extends TSchema>(schema: S, description: string) => Type.Union([schema, Type.Null()], { description })
const word = (description: string, example: string) => Type.String({ description, examples: [example] })
const name = (description: string, example: string) => Type.Optional(storedText({ minLength: 1, maxLength: 200, description, examples: [example] }))

const outcome = Type.Unsafe<'success' | 'denied' | 'failure'>(Type.String({
  enum: ['success', 'denied', 'failure'], description: 'What came of it', examples: ['success']
}))
const kind = Type.Unsafe<'administrator' | 'api_key' | 'valet_key' | 'local' | 'anonymous' | 'event'>(Type.String({
  enum: ['administrator', 'api_key', 'valet_key', 'local', 'anonymous', 'event'], description: 'How they proved it; `event` is a change of a resource, as it was recorded with it'
}))

export const AuditQuery = Type.Object({
  principal: name('Who did it: `administrator`, `local`, `key:` or `valet:` and an id', 'administrator'),
  action: name('What they did', 'cache.clear'),
  outcome: Type.Optional(outcome),
  credential_id: name('The id of an API key or a valet key: what it did, and what was done to it', '0EXAMPLEkeyid'),
  since: Type.Optional(timestamp('From then on')),
  until: Type.Optional(timestamp('Before then')),
  limit,
  cursor
}, { additionalProperties: false })

const example = {
  id: '1204',
  time: '2026-01-31T12:00:00.000Z',
  until: '2026-01-31T12:00:00.000Z',
  count: 1,
  principal: 'key:0EXAMPLEkeyid',
  kind: 'api_key' as const,
  kid: null,
  action: 'cache.clear',
  scope: 'cache:delete',
  resource: null,
  key_hash: null,
  namespace: 'shop',
  address: '192.0.2.7',
  outcome: 'success' as const,
  status: 200,
  request_id: 'k3f9-1a',
  reason: null
}

export const AuditEntry = Type.Object({
  id: word('Its place in the log', '1204'),
  time: timestamp('When it happened'),
  until: timestamp('When it happened last, where several that are alike are one entry'),
  count: Type.Integer({ minimum: 1, description: 'How many of them there were', examples: [1] }),
  principal: word('Who it was; empty for who did not say', 'key:0EXAMPLEkeyid'),
  kind,
  kid: orNull(Type.String(), 'Of the bearer of a valet key: the id of the key that it is signed with'),
  action: word('What they did; `access` for a use that is no administrative act', 'cache.clear'),
  scope: word('What the operation demands', 'cache:delete'),
  resource: orNull(Type.String(), 'What it was done to, such as `keys/0EXAMPLEkeyid`'),
  key_hash: orNull(Type.String({ pattern: '^[0-9a-f]{64}$' }), 'Of an entry of the cache: SHA-256 of its key'),
  namespace: orNull(Type.String(), 'The namespace of the cache'),
  address: orNull(Type.String(), 'Where the request came from; null where several are counted together'),
  outcome,
  status: orNull(Type.Integer(), 'The status of the answer'),
  request_id: orNull(Type.String(), 'The id of the request, or of the first one'),
  reason: orNull(Type.String(), 'Why it was denied')
}, { $id: 'AuditEntry', additionalProperties: false, description: 'Something that was done or denied', examples: [example] })
export type AuditEntry = Static<typeof AuditEntry>

export const AuditReply = Type.Object({ entries: Type.Array(ref(AuditEntry)), next_cursor: nextCursor }, {
  $id: 'AuditReply', additionalProperties: false, description: 'What was done, the newest first', examples: [{ entries: [example] }]
})
export type AuditReply = Static<typeof AuditReply>
