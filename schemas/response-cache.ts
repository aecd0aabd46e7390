import { Type, type Static } from '@sinclair/typebox'

export const CachedResponseParams = Type.Object({
  key: Type.String({ minLength: 1, description: 'The exact key of a cached response', examples: ['GET:/api/posts/'] })
})

export const ResponseCacheStatistics = Type.Object({
  hits: Type.Integer({ minimum: 0, description: 'Reads that the cache answered' }),
  misses: Type.Integer({ minimum: 0, description: 'Reads that it did not' }),
  top_keys: Type.Array(Type.Unsafe<[string, number]>({
    type: 'array', prefixItems: [{ type: 'string' }, { type: 'integer' }], items: {}, minItems: 2, maxItems: 2
  }), { description: 'The keys that were read most since they were stored, with how often' }),
  total_cached_keys: Type.Integer({ minimum: 0, description: 'Entries there are' })
}, {
  $id: 'ResponseCacheStatistics',
  additionalProperties: false,
  description: 'What the routes have cached. Counts are of this process',
  examples: [{ hits: 5, misses: 2, top_keys: [['GET:/api/posts/', 7]], total_cached_keys: 2 }]
})
export type ResponseCacheStatistics = Static<typeof ResponseCacheStatistics>
