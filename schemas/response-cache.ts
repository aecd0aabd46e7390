import { Type, type Static, type TSchema, type TUnsafe } from '@sinclair/typebox'
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

/** What a request may ask of the cache, for the document; plugins/response-cache.ts reads it. */
export const CachedResponseHeaders = Type.Object({
  'if-none-match': Type.Optional(Type.String({ description: 'Answer 304 while the data still has this ETag' })),
  'cache-control': Type.Optional(Type.String({
    description: 'RFC 9111: `no-cache` goes past the cache and refreshes it; `no-store` neither reads nor writes it; `max-age`, `min-fresh` and `max-stale` say how old the answer may be; `only-if-cached` is answered from the cache or with 504'
  }))
})

const text = (description: string, example: string) => ({ type: 'string', description, examples: [example] })

/** A 200 of a cached route, with what its headers say. */
export function cached<S extends TSchema> (schema: S): TUnsafe<Static<S>> {
  return {
    description: schema.description,
    headers: {
      'cache-status': text('What the cache did (RFC 9211): `hit`, or why it went on to the route (`fwd`)', 'larder; hit; ttl=117; key="GET:/api/users/1"'),
      age: { type: 'integer', minimum: 0, description: 'Seconds since the answer was made', examples: [3] },
      etag: text('Of the data: for `If-None-Match`', '"3735v28405"'),
      'cache-control': text('How long others may keep a copy', 'no-cache')
    },
    content: { 'application/json': { schema: ref(schema) } }
  } as unknown as TUnsafe<Static<S>>
}
