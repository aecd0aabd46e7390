import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { cursor, limit, nextCursor, order, ref, timestamp } from './common.js'
import { MAX_TTL, NAMESPACE } from './config.js'
import { storedText } from './stored-text.js'

/** Seconds: 30 days. */
const MAX_OVERLAP = 2_592_000

const orNull = <S extends TSchema>(schema: S, description: string) => Type.Union([schema, Type.Null()], { description })

const id = Type.String({ description: 'Names the key, and is no secret', examples: ['0EXAMPLEkeyid'] })
const name = storedText({ minLength: 1, maxLength: 100, description: 'What it is for, in your words', examples: ['Shop front'] })
const scope = Type.String({
  pattern: '^(\\*|(\\*|[a-z]{1,20}):(\\*|[a-z]{1,20}))$', description: '`resource:action`, either of them `*`; or `*` alone', examples: ['cache:read']
})
const scopes = Type.Array(scope, { minItems: 1, maxItems: 64, description: 'What it permits', examples: [['cache:read', 'cache:write']] })
const forbid = Type.Array(scope, { maxItems: 64, description: 'What it does not permit, whatever `scopes` say', examples: [[]] })
const namespaces = Type.Array(Type.String({ pattern: NAMESPACE }), {
  minItems: 1, maxItems: 100, description: 'The namespaces of the cache that exist for it', examples: [['shop']]
})
const rateLimit = Type.String({ minLength: 1, maxLength: 200, description: 'Requests of this key, in place of `RATE_LIMITS`', examples: ['100/minute'] })
const ttl = Type.Number({ minimum: 0, maximum: MAX_TTL, description: 'Seconds until it expires; 0 never. In place of `expires_at`', examples: [86400] })
const expiresAt = timestamp('When it expires; in place of `ttl`')

const example = {
  id: '0EXAMPLEkeyid',
  prefix: 'larder_0EXAMPLEkeyid',
  name: 'Shop front',
  status: 'live' as const,
  scopes: ['cache:read', 'cache:write'],
  forbid: [],
  namespaces: ['shop'],
  rate_limit: '100/minute',
  created_at: '2026-01-31T12:00:00.000Z',
  created_by: 'administrator',
  expires_at: null,
  last_used_at: null,
  revoked_at: null,
  revoked_by: null,
  successor: null
}

const described = {
  id,
  prefix: Type.String({ description: 'How the key begins', examples: ['larder_0EXAMPLEkeyid'] }),
  name: orNull(name, 'What it is for'),
  status: Type.Unsafe<'live' | 'expired' | 'revoked'>(Type.String({ enum: ['live', 'expired', 'revoked'], description: 'Whether it opens anything' })),
  scopes: Type.Array(Type.String(), { description: 'What it permits' }),
  forbid: Type.Array(Type.String(), { description: 'What it does not permit, whatever `scopes` say' }),
  namespaces: orNull(Type.Array(Type.String()), 'The namespaces of the cache that exist for it; null is all of them'),
  rate_limit: orNull(Type.String(), 'Requests of this key; null is what `RATE_LIMITS` says'),
  created_at: timestamp('When it was created'),
  created_by: Type.String({ description: 'Who created it: `administrator`, `local`, or `key:` and an id', examples: ['administrator'] }),
  expires_at: orNull(timestamp(''), 'When it expires; null is never'),
  last_used_at: orNull(timestamp(''), 'When it was used last, to the minute; null is never'),
  revoked_at: orNull(timestamp(''), 'When it was revoked'),
  revoked_by: orNull(Type.String(), 'Who revoked it'),
  successor: orNull(Type.String(), 'The id of the key that it was rotated to')
}

export const ApiKey = Type.Object(described, {
  $id: 'ApiKey', additionalProperties: false, description: 'An API key, without the key itself', examples: [example]
})
export type ApiKey = Static<typeof ApiKey>

export const IssuedApiKey = Type.Object({
  key: Type.String({ description: 'The key itself: shown now, and never again' }),
  ...described
}, {
  $id: 'IssuedApiKey',
  additionalProperties: false,
  description: 'A new API key. Keep `key`: it is not stored, and cannot be shown again.',
  examples: [{ key: `larder_0EXAMPLEkeyid_${'0'.repeat(43)}_000000`, ...example }]
})
export type IssuedApiKey = Static<typeof IssuedApiKey>

export const NewApiKey = Type.Object({
  name: Type.Optional(name),
  scopes,
  forbid: Type.Optional(forbid),
  namespaces: Type.Optional(namespaces),
  rate_limit: Type.Optional(rateLimit),
  ttl: Type.Optional(ttl),
  expires_at: Type.Optional(expiresAt)
}, {
  $id: 'NewApiKey',
  additionalProperties: false,
  description: 'An API key to create; never more than its creator holds',
  examples: [{ name: 'Shop front', scopes: ['cache:read', 'cache:write'], namespaces: ['shop'], rate_limit: '100/minute', ttl: 7776000 }]
})
export type NewApiKey = Static<typeof NewApiKey>

export const ApiKeyRotation = Type.Object({
  overlap: Type.Optional(Type.Number({
    minimum: 0, maximum: MAX_OVERLAP, default: 86400, description: 'Seconds that the old key lives on; 0 ends it at once', examples: [86400]
  })),
  ttl: Type.Optional(ttl),
  expires_at: Type.Optional(expiresAt)
}, {
  $id: 'ApiKeyRotation',
  additionalProperties: false,
  description: 'How to rotate. The new key expires when the old one would have, unless `ttl` or `expires_at` says otherwise.',
  examples: [{ overlap: 3600 }]
})
export type ApiKeyRotation = Static<typeof ApiKeyRotation>

export const ApiKeyListReply = Type.Object({ keys: Type.Array(ref(ApiKey)), next_cursor: nextCursor }, {
  $id: 'ApiKeyListReply', additionalProperties: false, description: 'API keys in the order of their creation', examples: [{ keys: [example] }]
})
export type ApiKeyListReply = Static<typeof ApiKeyListReply>

export const ApiKeyRevokedReply = Type.Object({ ok: Type.Literal(true) }, {
  $id: 'ApiKeyRevokedReply', additionalProperties: false, description: 'The key opens nothing any more, here at once and everywhere within a second', examples: [{ ok: true }]
})
export type ApiKeyRevokedReply = Static<typeof ApiKeyRevokedReply>

export const ApiKeyListQuery = Type.Object({ order, limit, cursor }, { additionalProperties: false })

export const ApiKeyParams = Type.Object({
  id: Type.String({ description: 'The id of a key', examples: ['0EXAMPLEkeyid'] })
}, { additionalProperties: false })
