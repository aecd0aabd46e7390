import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { cursor, limit, nextCursor, order, ref, timestamp } from './common.js'
import { storedText } from './stored-text.js'

/** As in services/access/valet: seconds that a valet key may live at most. */
const MAX_TTL = 3600
const MAX_INTEGER = 2_147_483_647

const ID = '7c84fb90-12c4-41e1-840d-7b25c5ee775a'
const KID = '1f0c2d3e-4b5a-4678-9abc-def012345678'

const orNull = <S extends TSchema>(schema: S, description: string) => Type.Union([schema, Type.Null()], { description })

const scopes = Type.Array(Type.String({ minLength: 1, maxLength: 50 }), {
  minItems: 1, maxItems: 50, description: 'What the bearer may do, as `resource:action`; `*` stands for every resource or action', examples: [['recipes:read']]
})
const namespaces = Type.Array(Type.String({ pattern: '^[A-Za-z0-9_.-]{1,64}$' }), {
  minItems: 1, maxItems: 50, description: 'The namespaces of the cache that exist for the bearer', examples: [['default']]
})
const resources = Type.Array(storedText({ minLength: 1, maxLength: 1200 }), {
  minItems: 1, maxItems: 50, description: 'What the bearer may touch, as paths: `recipes/7`, `cache/default/user:*`. A `*` at the end stands for anything.', examples: [['recipes/7', 'cache/default/user:*']]
})
const addresses = Type.Array(Type.String({ minLength: 1, maxLength: 50 }), {
  minItems: 1, maxItems: 50, description: 'Addresses, and ranges of them, that the bearer may call from', examples: [['192.0.2.7', '10.0.0.0/8']]
})
const maxUses = Type.Integer({ minimum: 1, maximum: MAX_INTEGER, description: 'Requests that it is good for, counted over all processes', examples: [1] })
const maxBytes = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'Bytes that a body of the bearer may have, and an answer to a read', examples: [65_536] })
const policy = Type.String({ pattern: '^[A-Za-z0-9_.:-]{1,64}$', description: 'A name under which valet keys can be revoked together', examples: ['partner-x'] })
const description = storedText({ minLength: 1, maxLength: 200, examples: ['For the nightly report'] })

export const NewValetKey = Type.Object({
  scopes,
  resources: Type.Optional(resources),
  namespaces: Type.Optional(namespaces),
  ttl: Type.Optional(Type.Number({ minimum: 0, description: `Seconds that it lives, up to ${MAX_TTL}; fractions are rounded up. Absent: VALET_TOKEN_TTL, or as long as its issuer lives.`, examples: [300] })),
  not_before: Type.Optional(timestamp('From when it is valid. Absent: from its issue on.')),
  max_uses: Type.Optional(maxUses),
  ip: Type.Optional(Type.Union([Type.String({ minLength: 1, maxLength: 50 }), addresses], {
    description: 'An address or a range of addresses (CIDR) that the bearer may call from, or a list of them', examples: ['10.0.0.0/8']
  })),
  max_bytes: Type.Optional(maxBytes),
  policy: Type.Optional(policy),
  description: Type.Optional(description)
}, {
  $id: 'NewValetKey',
  additionalProperties: false,
  description: 'What a valet key is asked to permit. Where a part is absent, it gets what its issuer has.',
  examples: [{ scopes: ['recipes:read'] }]
})
export type NewValetKey = Static<typeof NewValetKey>

const granted = {
  scopes: Type.Array(Type.String(), { description: 'What the bearer may do' }),
  namespaces: orNull(Type.Array(Type.String()), 'The namespaces of the cache that exist for the bearer; null: all'),
  resources: orNull(Type.Array(Type.String()), 'What the bearer may touch; null: all that the scopes permit'),
  ip: orNull(Type.Array(Type.String()), 'Where the bearer may call from; null: anywhere'),
  max_bytes: orNull(Type.Integer(), 'Bytes that a body of the bearer may have, and an answer to a read; null: any'),
  max_uses: orNull(Type.Integer(), 'Requests that it is good for; null: any number, or what is left to the valet key that it comes from'),
  policy: orNull(Type.String(), 'The name under which it can be revoked with others'),
  description: orNull(Type.String(), 'What for'),
  issued_at: timestamp('When it was issued'),
  not_before: orNull(timestamp('From when it is valid'), 'From when it is valid; null: from its issue on'),
  expires_at: timestamp('When it ends')
}
const sample = {
  scopes: ['recipes:read'],
  namespaces: null,
  resources: null,
  ip: null,
  max_bytes: null,
  max_uses: null,
  policy: null,
  description: null,
  issued_at: '2026-01-31T12:00:00.000Z',
  not_before: null,
  expires_at: '2026-01-31T12:05:00.000Z'
}

export const ValetKeyReply = Type.Object({
  token: Type.String({ description: 'The valet key, for `Authorization: Bearer`. It is shown this once.' }),
  token_type: Type.Literal('Bearer'),
  id: Type.String({ format: 'uuid', description: 'Its name in lists, and what revokes it' }),
  expires_in: Type.Integer({ description: 'Seconds that it has left' }),
  ...granted
}, {
  $id: 'ValetKeyReply',
  additionalProperties: false,
  description: 'A new valet key',
  examples: [{ token: 'eyJ…not-a-real-token', token_type: 'Bearer' as const, id: ID, expires_in: 300, ...sample }]
})
export type ValetKeyReply = Static<typeof ValetKeyReply>

export const ValetKey = Type.Object({
  id: Type.String({ format: 'uuid', description: 'Its name' }),
  state: Type.Union((['live', 'expired', 'revoked', 'exhausted'] as const).map((state) => Type.Literal(state)), { description: 'Whether it can be used, and why not' }),
  issuer: Type.String({ description: 'Who issued it: `administrator`, `local`, `key:…`, `valet:…`' }),
  parent: orNull(Type.String({ format: 'uuid' }), 'The valet key that it comes from'),
  kid: Type.String({ description: 'The key that it is signed with' }),
  uses: Type.Integer({ description: 'Requests that were counted: those of a valet key with `max_uses`, and of what comes from one' }),
  ...granted,
  revoked_at: orNull(timestamp('When it was revoked'), 'When it was revoked'),
  revoked_by: orNull(Type.String(), 'Who revoked it')
}, {
  $id: 'ValetKey',
  additionalProperties: false,
  description: 'A valet key that was issued; never the token',
  examples: [{ id: ID, state: 'live' as const, issuer: 'administrator', parent: null, kid: KID, uses: 0, ...sample, revoked_at: null, revoked_by: null }]
})
export type ValetKey = Static<typeof ValetKey>

export const ValetKeyListReply = Type.Object({ tokens: Type.Array(ref(ValetKey)), next_cursor: nextCursor }, {
  $id: 'ValetKeyListReply', additionalProperties: false, description: 'Valet keys in the order of their issue', examples: [{ tokens: ValetKey.examples as ValetKey[] }]
})
export type ValetKeyListReply = Static<typeof ValetKeyListReply>

export const ValetKeysRevokedReply = Type.Object({ revoked: Type.Integer({ description: 'How many were revoked, those included that came from them' }) }, {
  $id: 'ValetKeysRevokedReply', additionalProperties: false, description: 'What was revoked', examples: [{ revoked: 3 }]
})
export type ValetKeysRevokedReply = Static<typeof ValetKeysRevokedReply>

const issuer = Type.String({ minLength: 1, maxLength: 200, description: 'Only those that this principal has issued: `administrator`, `local`, `key:…` or `valet:…`' })
export const ValetKeyFilter = Type.Object({ issuer: Type.Optional(issuer), policy: Type.Optional(policy) })
export const ValetKeyListQuery = Type.Object({ issuer: Type.Optional(issuer), policy: Type.Optional(policy), order, limit, cursor })
export const ValetKeyParams = Type.Object({ id: Type.String({ description: 'The valet key’s id', examples: [ID] }) }, { additionalProperties: false })

export const SigningKey = Type.Object({
  kid: Type.String({ description: 'Its name, in the header of what it has signed' }),
  algorithm: Type.Union([Type.Literal('HS256'), Type.Literal('EdDSA')], { description: 'HMAC with SHA-256, or Ed25519' }),
  state: Type.Union((['signing', 'verifying', 'retired', 'expired'] as const).map((state) => Type.Literal(state)), { description: 'What it is used for' }),
  created_at: timestamp('When it was made'),
  created_by: Type.String({ description: 'Who made it; empty: the service' }),
  verifies_until: orNull(timestamp('Until when'), 'When the last valet key under it will have expired; null while it signs')
}, {
  $id: 'SigningKey',
  additionalProperties: false,
  description: 'A key that valet keys are signed with; never its secret',
  examples: [{ kid: KID, algorithm: 'HS256' as const, state: 'signing' as const, created_at: '2026-01-31T12:00:00.000Z', created_by: '', verifies_until: null }]
})
export type SigningKey = Static<typeof SigningKey>

export const SigningKeyListReply = Type.Object({ keys: Type.Array(ref(SigningKey)) }, {
  $id: 'SigningKeyListReply', additionalProperties: false, description: 'Signing keys, newest first', examples: [{ keys: SigningKey.examples as SigningKey[] }]
})
export type SigningKeyListReply = Static<typeof SigningKeyListReply>

export const SigningKeyRotation = Type.Object({
  retire: Type.Optional(Type.Boolean({ description: 'Make all valet keys that were issued so far void, at once' }))
}, { $id: 'SigningKeyRotation', additionalProperties: false, description: 'How to replace the signing key', examples: [{ retire: false }] })
export type SigningKeyRotation = Static<typeof SigningKeyRotation>
/** No body says the same as an empty object. */
export const OptionalRotation = Type.Union([ref(SigningKeyRotation), Type.Null()])

export const SigningKeyRotatedReply = Type.Object({ kid: Type.String({ description: 'The key that signs from now on' }), keys: Type.Array(ref(SigningKey)) }, {
  $id: 'SigningKeyRotatedReply', additionalProperties: false, description: 'The new signing key, and all that there are', examples: [{ kid: KID, keys: SigningKey.examples as SigningKey[] }]
})
export type SigningKeyRotatedReply = Static<typeof SigningKeyRotatedReply>

export const SigningKeyParams = Type.Object({ kid: Type.String({ description: 'The signing key’s id', examples: [KID] }) }, { additionalProperties: false })

export const JsonWebKeySet = Type.Object({
  keys: Type.Array(Type.Object({
    kty: Type.Literal('OKP'), crv: Type.Literal('Ed25519'), x: Type.String(), kid: Type.String(), use: Type.Literal('sig'), alg: Type.Literal('EdDSA')
  }, { additionalProperties: false }))
}, {
  $id: 'JsonWebKeySet',
  additionalProperties: false,
  description: 'The public keys that valet keys verify under (RFC 7517, RFC 8037)',
  examples: [{ keys: [{ kty: 'OKP' as const, crv: 'Ed25519' as const, x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo', kid: KID, use: 'sig' as const, alg: 'EdDSA' as const }] }]
})
export type JsonWebKeySet = Static<typeof JsonWebKeySet>
