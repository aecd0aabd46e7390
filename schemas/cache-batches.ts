import { Type, type Static } from '@sinclair/typebox'
import { CacheItem, CacheSetReply, itemExample, NAMESPACE, NewCacheEntry, parts, storedExample } from './cache.js'
import { ref } from './common.js'
import { MAX_TTL } from './config.js'

/** Most entries or keys in one batch. */
export const MAX_BATCH = 1000

const { backend, message, success } = parts
const outcomeKey = Type.Union([Type.String(), Type.Null()], {
  description: 'The key as it was given; null when it was no string', examples: ['user:123']
})
const failed = Type.Literal(false)
const count = (description: string, example: number) => Type.Integer({ minimum: 0, description, examples: [example] })

/** Each entry is held to NewCacheEntry by itself, so that a bad one does not spoil the others. */
export const NewCacheEntries = Type.Array(ref(NewCacheEntry), {
  $id: 'NewCacheEntries',
  maxItems: MAX_BATCH,
  description: 'Entries to store; one that is not valid fails by itself',
  examples: [[
    { key: 'user:123', value: { name: 'John' }, data_type: 'json', ttl: 3600 },
    { key: 'user:456', value: { name: 'Jane' }, data_type: 'json', ttl: 3600 }
  ]]
})

export const CacheKeys = Type.Array(Type.String(), {
  $id: 'CacheKeys',
  maxItems: MAX_BATCH,
  description: 'Keys, answered in this order; one that is not valid fails by itself',
  examples: [['user:123', 'user:456', 'user:789']]
})

export const WarmCacheEntries = Type.Record(Type.String(), Type.Unknown(), {
  $id: 'WarmCacheEntries',
  maxProperties: MAX_BATCH,
  description: 'Values by key; their data types are inferred',
  examples: [{ 'config:app': { version: '1.0.0', features: ['auth', 'api'] }, 'stats:daily': { users: 1000, requests: 50000 } }]
})

export const WarmQuery = Type.Object({
  backend,
  namespace: Type.Optional(Type.String({
    pattern: NAMESPACE,
    description: 'Where the entries go; `default` when absent',
    examples: ['default']
  })),
  ttl: Type.Optional(Type.Number({
    minimum: 0,
    maximum: MAX_TTL,
    description: 'Seconds that each entry lives; 0 never expires; absent means `default_ttl`',
    examples: [3600]
  }))
}, { additionalProperties: false })

const failure = { type: '/problems/invalid-input', title: 'Invalid request', status: 400, detail: 'key must not be empty.' }
export const CacheEntryProblem = Type.Object({
  type: Type.String({ format: 'uri-reference', description: 'The kind of problem' }),
  title: Type.String({ description: 'The kind of problem, in words' }),
  status: Type.Integer({ description: 'The status that the entry alone would have been answered with' }),
  detail: Type.String({ description: 'What happened, and what to do next' })
}, { $id: 'CacheEntryProblem', additionalProperties: false, description: 'Why one entry of a batch failed', examples: [failure] })
export type CacheEntryProblem = Static<typeof CacheEntryProblem>

export const CacheEntryFailure = Type.Object({
  key: outcomeKey,
  success: failed,
  error: ref(CacheEntryProblem)
}, {
  $id: 'CacheEntryFailure',
  additionalProperties: false,
  description: 'An entry of a batch that failed',
  examples: [{ key: '', success: false, error: failure }]
})
export type CacheEntryFailure = Static<typeof CacheEntryFailure>

export const CacheSetSuccess = Type.Object({
  key: Type.String(),
  success,
  result: ref(CacheSetReply)
}, {
  $id: 'CacheSetSuccess',
  additionalProperties: false,
  description: 'An entry of a batch that was stored',
  examples: [{ key: 'user:123', success: true, result: storedExample }]
})

export const CacheSetBatchReply = Type.Object({
  success,
  message,
  total_items: count('Entries asked for', 2),
  successful_count: count('Entries stored', 1),
  failed_count: count('Entries refused', 1),
  results: Type.Array(Type.Union([ref(CacheSetSuccess), ref(CacheEntryFailure)]), { description: 'In the order asked' })
}, {
  $id: 'CacheSetBatchReply',
  additionalProperties: false,
  description: 'What became of each entry',
  examples: [{
    success: true,
    message: '1 of 2 entries stored',
    total_items: 2,
    successful_count: 1,
    failed_count: 1,
    results: [{ key: 'user:123', success: true, result: storedExample }, { key: '', success: false, error: failure }]
  }]
})
export type CacheSetBatchReply = Static<typeof CacheSetBatchReply>

export const CacheGetSuccess = Type.Object({
  key: Type.String(),
  success,
  result: Type.Object({
    found: Type.Boolean(),
    cache_item: Type.Optional(ref(CacheItem))
  }, { additionalProperties: false })
}, {
  $id: 'CacheGetSuccess',
  additionalProperties: false,
  description: 'A key of a batch, with its entry where there is one',
  examples: [{ key: 'user:789', success: true, result: { found: false } }]
})

const totals = {
  success,
  message,
  total_keys: count('Keys asked for', 2),
  found_count: count('Keys that had an entry', 1),
  not_found_count: count('Keys that had none, those that failed included', 1)
}

export type CacheGetBatchTotals = Omit<Static<typeof CacheGetBatchReply>, 'results'>
export const CacheGetBatchReply = Type.Object({
  ...totals,
  results: Type.Array(Type.Union([ref(CacheGetSuccess), ref(CacheEntryFailure)]), { description: 'In the order asked' })
}, {
  $id: 'CacheGetBatchReply',
  additionalProperties: false,
  description: 'What each key holds',
  examples: [{
    success: true,
    message: '1 of 2 keys found',
    total_keys: 2,
    found_count: 1,
    not_found_count: 1,
    results: [
      { key: 'user:123', success: true, result: { found: true, cache_item: itemExample } },
      { key: 'user:789', success: true, result: { found: false } }
    ]
  }]
})

export const CacheDeleteSuccess = Type.Object({
  key: Type.String(),
  success,
  result: Type.Object({ found: Type.Boolean({ description: 'Whether there was something to delete' }) }, { additionalProperties: false })
}, {
  $id: 'CacheDeleteSuccess',
  additionalProperties: false,
  description: 'A key of a batch that has no entry any more',
  examples: [{ key: 'user:123', success: true, result: { found: true } }]
})

export const CacheDeleteBatchReply = Type.Object({
  ...totals,
  results: Type.Array(Type.Union([ref(CacheDeleteSuccess), ref(CacheEntryFailure)]), { description: 'In the order asked' })
}, {
  $id: 'CacheDeleteBatchReply',
  additionalProperties: false,
  description: 'What became of each key',
  examples: [{
    success: true,
    message: '1 of 2 keys deleted',
    total_keys: 2,
    found_count: 1,
    not_found_count: 1,
    results: [{ key: 'user:123', success: true, result: { found: true } }, { key: 'user:789', success: true, result: { found: false } }]
  }]
})
export type CacheDeleteBatchReply = Static<typeof CacheDeleteBatchReply>
