import { Type, type Static } from '@sinclair/typebox'
import { cursor, limit, nextCursor, ref, timestamp } from './common.js'
import { NAMESPACE } from './config.js'

const example = {
  key: 'cache.memory.max_items',
  value: 20_000,
  source: 'store' as const,
  revision: 12,
  default: 10_000,
  changeable: true,
  schema: { type: 'integer', minimum: 1, maximum: 1_000_000_000 },
  description: 'Entries that memory may hold.',
  updated_at: '2026-01-31T12:00:00.000Z',
  updated_by: 'administrator'
}

const key = Type.String({ maxLength: 100, description: 'The setting', examples: [example.key] })
const source = Type.Union([Type.Literal('default'), Type.Literal('environment'), Type.Literal('store'), Type.Literal('namespace')], {
  description: 'What gives the value: each wins over those before it. `store` holds for all namespaces of the cache, `namespace` for one'
})
// No example: to name one is to ask for what it has of its own.
const namespace = Type.Optional(Type.String({ pattern: NAMESPACE, description: 'The namespace of the cache whose own value it is' }))
const ofNamespace = Type.Optional(Type.String({
  pattern: NAMESPACE, description: 'The namespace of the cache whose own value is meant; absent: the value that holds for all without one. Only for `default_ttl`, `strategy`, `compression_enabled` and `encryption_enabled` of a backend'
}))
const revision = Type.Integer({ minimum: 0, description: 'Of its last change, over all settings; 0 while it is not stored', examples: [12] })
const value = Type.Unknown({ description: 'Of the type that the setting has; `***` for a secret' })
const changedBy = Type.String({ description: 'Who made the change; empty when that is not known', examples: ['administrator'] })

export const SettingOverride = Type.Object({
  key,
  namespace: Type.String({ description: 'The namespace of the cache', examples: ['shop'] }),
  value,
  revision: Type.Integer({ minimum: 1, description: 'Of its last change, over all settings', examples: [13] }),
  updated_at: timestamp('When it was last changed'),
  updated_by: changedBy
}, {
  $id: 'SettingOverride',
  additionalProperties: false,
  description: 'The value that one namespace of the cache has of its own',
  examples: [{ key: 'cache.memory.default_ttl', namespace: 'shop', value: 60, revision: 13, updated_at: example.updated_at, updated_by: 'administrator' }]
})
export type SettingOverride = Static<typeof SettingOverride>

export const Setting = Type.Object({
  key,
  namespace,
  value,
  source,
  revision,
  default: Type.Optional(value),
  changeable: Type.Boolean({ description: 'Whether it can change while the service runs; the others are set in the environment, before the start' }),
  schema: Type.Optional(Type.Record(Type.String(), Type.Unknown(), {
    description: 'What a value has to be, as JSON Schema, where it can change; `unit` is what a number counts: `seconds` or `bytes`'
  })),
  description: Type.String(),
  layers: Type.Optional(Type.Array(Type.Object({ source, value }, { additionalProperties: false }), { description: 'With `explain`: every value that there is for it. The last one is in force' })),
  overrides: Type.Optional(Type.Array(ref(SettingOverride), { description: 'With `explain`, and without a namespace: what namespaces have of their own' })),
  updated_at: Type.Optional(timestamp('When it was last changed')),
  updated_by: Type.Optional(changedBy)
}, { $id: 'Setting', additionalProperties: false, description: 'A setting as it is in force', examples: [example] })
export type Setting = Static<typeof Setting>

export const SettingsReply = Type.Object({
  revision: Type.Integer({ minimum: 0, description: 'Of the last change of any setting' }),
  stale: Type.Boolean({ description: 'Whether the database could not be asked lately: then the last values hold' }),
  settings: Type.Array(ref(Setting)),
  overrides: Type.Array(ref(SettingOverride), { description: 'What single namespaces of the cache have of their own; with a namespace, those of that one' })
}, {
  $id: 'SettingsReply', additionalProperties: false, description: 'Every setting as it is in force in this process', examples: [{ revision: 12, stale: false, settings: [example], overrides: [] }]
})
export type SettingsReply = Static<typeof SettingsReply>

/** The body of a change: the value alone, or as `{ "value": … }`. */
export const NewSettingValue = Type.Unknown({
  $id: 'NewSettingValue', description: 'The value, as it is or as `{"value": …}`', examples: [{ value: 20_000 }]
})

export const SettingChange = Type.Object({
  revision,
  key,
  namespace,
  value: Type.Optional(value),
  action: Type.Union([Type.Literal('set'), Type.Literal('deleted'), Type.Literal('rolled_back')]),
  changed_at: timestamp('When'),
  changed_by: changedBy
}, {
  $id: 'SettingChange',
  additionalProperties: false,
  description: 'One change of a setting, with a namespace where it was made for that one alone. Without a value, it was taken out of the store, and what is below holds: the environment or the default, or what all namespaces have',
  examples: [{ revision: 12, key: example.key, value: 20_000, action: 'set' as const, changed_at: example.updated_at, changed_by: 'administrator' }]
})
export type SettingChange = Static<typeof SettingChange>

const edits = [{ key: example.key, value: 20_000, revision: 11 }, { key: 'cache.memory.strategy', remove: true, revision: 9 }]

export const SettingEdits = Type.Object({
  changes: Type.Array(Type.Object({
    key,
    namespace: ofNamespace,
    value: Type.Optional(Type.Unknown({ description: 'The new one; left out with `remove`' })),
    remove: Type.Optional(Type.Literal(true, { description: 'Takes it out of the store, so that what is below it holds: the environment or the default, or, for a namespace, what holds for all' })),
    revision: Type.Optional(Type.Union([Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), Type.Literal('*')], {
      description: 'The one at which it was read, 0 for one that is not stored; `*` is any. Without it the change is 428'
    }))
  }, { additionalProperties: false }), { minItems: 1, maxItems: 100, description: 'Each of another setting, or of the same in another namespace' })
}, { $id: 'SettingEdits', additionalProperties: false, description: 'Changes that are made together, or not at all', examples: [{ changes: edits }] })
export type SettingEdits = Static<typeof SettingEdits>

export const SettingEditsReply = Type.Object({
  revision: Type.Integer({ minimum: 0, description: 'Of the last change of any setting' }),
  settings: Type.Array(ref(Setting), { description: 'As they are now, in the order of the changes' })
}, { $id: 'SettingEditsReply', additionalProperties: false, description: 'What became of the changes', examples: [{ revision: 12, settings: [example] }] })
export type SettingEditsReply = Static<typeof SettingEditsReply>

const instance = {
  id: '0198c2a4-7d3f-4c11-9c5e-2f6f0f8a1b2c', host: 'larder-1', pid: 4711, revision: 12, current: true, self: true, started_at: '2026-01-31T11:00:00.000Z', seen_at: example.updated_at
}

export const SettingInstancesReply = Type.Object({
  revision: Type.Integer({ minimum: 0, description: 'Of the last change that the answering process has seen' }),
  instances: Type.Array(Type.Object({
    id: Type.String({ description: 'Of the process' }),
    host: Type.String({ description: 'Where it runs' }),
    pid: Type.Integer({ description: 'Its number there' }),
    revision: Type.Integer({ minimum: 0, description: 'Of the last change that it lives by' }),
    current: Type.Boolean({ description: 'Whether that is the last one there is, as far as the answering process knows' }),
    self: Type.Boolean({ description: 'Whether it is the answering process' }),
    started_at: timestamp('When it began'),
    seen_at: timestamp('Its last sign of life; after 15 seconds without one it is left out')
  }, { additionalProperties: false }))
}, { $id: 'SettingInstancesReply', additionalProperties: false, description: 'The processes, and the settings that each lives by', examples: [{ revision: 12, instances: [instance] }] })
export type SettingInstancesReply = Static<typeof SettingInstancesReply>

export const SettingHistoryReply = Type.Object({ key, changes: Type.Array(ref(SettingChange)), next_cursor: nextCursor }, {
  $id: 'SettingHistoryReply',
  additionalProperties: false,
  description: 'The changes of a setting, the latest first',
  examples: [{ key: example.key, changes: [{ revision: 12, key: example.key, value: 20_000, action: 'set' as const, changed_at: example.updated_at, changed_by: 'administrator' }] }]
})
export type SettingHistoryReply = Static<typeof SettingHistoryReply>

export const SettingRollback = Type.Object({
  revision: Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'The one to go back to; absent: the one before the last change' }))
}, { $id: 'SettingRollback', additionalProperties: false, description: 'What to go back to', examples: [{ revision: 11 }] })
export type SettingRollback = Static<typeof SettingRollback>

export const SettingParams = Type.Object({ key }, { additionalProperties: false })
export const SettingsQuery = Type.Object({
  namespace: Type.Optional(Type.String({ pattern: NAMESPACE, description: 'Only the settings that a namespace of the cache may have of its own, as they are in that one' }))
}, { additionalProperties: false })
export const SettingQuery = Type.Object({
  namespace: ofNamespace,
  explain: Type.Optional(Type.Boolean({ description: 'Show every value that there is for it, and not just the one in force', examples: [true] }))
}, { additionalProperties: false })
export const SettingChangeQuery = Type.Object({
  namespace: ofNamespace,
  dry_run: Type.Optional(Type.Boolean({ description: 'Check everything, and change nothing', examples: [false] }))
}, { additionalProperties: false })
export const SettingBatchQuery = Type.Object({
  dry_run: Type.Optional(Type.Boolean({ description: 'Check everything, and change nothing', examples: [false] }))
}, { additionalProperties: false })
export const SettingHistoryQuery = Type.Object({
  limit,
  cursor,
  namespace: Type.Optional(Type.Union([Type.String({ pattern: NAMESPACE }), Type.Literal('*')], {
    description: 'The namespace of the cache whose own value is meant; `*`: every change of the setting, each with its namespace. Absent: the value that holds for all'
  }))
}, { additionalProperties: false })
export const SettingWatchQuery = Type.Object({
  since: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'The revision after which to begin; `Last-Event-ID` wins. 0: with the first that is kept. Absent: from now on', examples: [12] })),
  namespace: Type.Optional(Type.String({ pattern: NAMESPACE, description: 'Only changes that were made for this namespace of the cache. Absent: all' }))
}, { additionalProperties: false })
export const SettingConditions = Type.Object({
  'if-match': Type.Optional(Type.String({ description: 'The ETag of the setting as it was read, `"r12"`; needed for every change' })),
  'if-none-match': Type.Optional(Type.String({ description: '`*`: only while it is not stored' }))
})
