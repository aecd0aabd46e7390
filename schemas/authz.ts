import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { storedText } from './stored-text.js'

const orNull = <S extends TSchema>(schema: S, description: string) => Type.Union([schema, Type.Null()], { description })
const list = (description: string, example: string) => Type.Optional(storedText({
  minLength: 1, maxLength: 4000, description: `${description}, with commas between them`, examples: [example]
}))

export const ExplainQuery = Type.Object({
  method: Type.Optional(Type.String({ pattern: '^[A-Za-z]{1,10}$', default: 'GET', description: 'Of the request', examples: ['GET'] })),
  path: storedText({ minLength: 1, maxLength: 4000, pattern: '^/', description: 'Of the request, with its query', examples: ['/api/cache/get/user:123?namespace=shop'] }),
  key: Type.Optional(storedText({ minLength: 1, maxLength: 1024, description: 'The key of the cache, where it would stand in the body' })),
  key_id: Type.Optional(storedText({ minLength: 1, maxLength: 200, description: 'The API key that would come with it; in place of scopes' })),
  valet_id: Type.Optional(storedText({ minLength: 1, maxLength: 200, description: 'The valet key that would come with it, by its id; in place of scopes' })),
  address: Type.Optional(storedText({ minLength: 1, maxLength: 100, description: 'Where the request would come from; left out, that is as the credential asks', examples: ['192.0.2.7'] })),
  scopes: list('What a credential would permit', 'cache:read,items:*'),
  forbid: list('What it would not permit, whatever the scopes say', 'cache:delete'),
  namespaces: list('The namespaces of the cache that it would be limited to', 'shop'),
  resources: list('The resources that it would be limited to', 'cache/shop/user:*,products/7')
}, { additionalProperties: false })
export type ExplainQuery = Static<typeof ExplainQuery>

const rules = [
  'public', 'granted', 'credential expired', 'credential revoked', 'credential exhausted', 'credential not yet valid', 'credential without issuer', 'not granted', 'forbidden',
  'limited to namespaces', 'limited to resources', 'limited to addresses', 'error'
] as const

const identity = {
  kind: 'api_key' as const,
  id: 'key:0198c2a4-7d3f-7c11-9c5e-2f6f0f8a1b2c',
  scopes: ['cache:read'],
  permissions: ['cache:read'],
  namespaces: ['shop'],
  resources: null,
  expires_at: '2026-12-31T23:59:59.000Z'
}
const kinds = ['administrator', 'api_key', 'valet_key', 'local', 'anonymous'] as const

export const Identity = Type.Object({
  kind: Type.Unsafe<typeof kinds[number]>(Type.String({ enum: [...kinds], description: 'Of the credential; `local` is nobody in particular on this machine in development, `anonymous` elsewhere' })),
  id: Type.String({ description: 'As logs and the audit log name the caller; empty for the anonymous' }),
  scopes: Type.Array(Type.String(), { description: 'As they were granted' }),
  permissions: Type.Array(Type.String(), { description: 'What they come to, less what is forbidden: each is what a route may demand' }),
  namespaces: orNull(Type.Array(Type.String()), 'The namespaces of the cache that exist for the caller; null: all of them'),
  resources: orNull(Type.Array(Type.String()), 'The resources that the caller is limited to, as patterns; null: none'),
  expires_at: orNull(Type.String({ format: 'date-time' }), 'When the credential ends; null: never')
}, { $id: 'Identity', additionalProperties: false, description: 'Who the caller is', examples: [identity] })
export type Identity = Static<typeof Identity>

const route = { method: 'GET', path: '/api/cache/get/:key', scope: 'cache:read' }
const example = {
  decision: 'permit' as const,
  rule: 'granted' as const,
  detail: 'The scope cache:* permits cache:read.',
  granted_by: 'cache:*',
  route,
  revision: 12
}

export const AccessExplanation = Type.Object({
  decision: Type.Unsafe<'permit' | 'forbid'>(Type.String({ enum: ['permit', 'forbid'], description: 'Whether the request would be let through' })),
  rule: Type.Unsafe<typeof rules[number]>(Type.String({ enum: [...rules], description: 'The rule that decided' })),
  detail: Type.String({ description: 'The rule in words' }),
  granted_by: orNull(Type.String(), 'The granted scope that is for this operation; null when none is, or none is needed'),
  route: Type.Object({
    method: Type.String({ description: 'Of the operation' }),
    path: Type.String({ description: 'As the service has it, with its parameters' }),
    scope: Type.String({ description: 'What the operation demands; `public` is nothing' })
  }, { additionalProperties: false, description: 'The operation that the request is for' }),
  revision: Type.Integer({ minimum: 0, description: 'Of the stored credentials that this is told by' })
}, { $id: 'AccessExplanation', additionalProperties: false, description: 'What would become of a request, and why', examples: [example] })
export type AccessExplanation = Static<typeof AccessExplanation>
