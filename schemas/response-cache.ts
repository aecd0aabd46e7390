import { Type, type Static, type TSchema, type TUnsafe } from '@sinclair/typebox'
import { CACHED_HEADERS } from './cache-aside.js'
import { ref } from './common.js'

export const CachedResponseParams = Type.Object({
  key: Type.String({ minLength: 1, description: 'The exact key of a cached response', examples: ['GET:/api/posts/'] })
})

export const ResponseCacheStatistics = Type.Object({
  hits: Type.Integer({ minimum: 0, description: 'Requests that a stored response answered' }),
  misses: Type.Integer({ minimum: 0, description: 'Requests for which the response was made' }),
  top_keys: Type.Array(Type.Unsafe<[string, number]>({
    type: 'array', prefixItems: [{ type: 'string' }, { type: 'integer' }], items: {}, minItems: 2, maxItems: 2
  }), { description: 'The keys that were asked for most, with how often: hits and misses' }),
  total_cached_keys: Type.Integer({ minimum: 0, description: 'Stored responses' })
}, {
  $id: 'ResponseCacheStatistics',
  additionalProperties: false,
  description: 'What the routes have cached. Counts are of all processes on the port, since the start',
  examples: [{ hits: 5, misses: 2, top_keys: [['GET:/api/posts/', 7]], total_cached_keys: 2 }]
})
export type ResponseCacheStatistics = Static<typeof ResponseCacheStatistics>

/** The conditions of a change of what has an ETag, for the document; services/preconditions.ts reads them. */
export const ChangeConditions = Type.Object({
  'if-match': Type.Optional(Type.String({ description: 'Change it only while its data has one of these ETags, as GET answers them; 412 otherwise' }))
})

/** A 200 of a cached route, with what its headers say. */
export function cached<S extends TSchema> (schema: S): TUnsafe<Static<S>> {
  return {
    description: schema.description,
    headers: CACHED_HEADERS,
    content: { 'application/json': { schema: ref(schema) } }
  } as unknown as TUnsafe<Static<S>>
}
