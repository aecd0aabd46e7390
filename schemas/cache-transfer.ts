import { Type, type Static } from '@sinclair/typebox'
import { CacheDataType, CacheMetadata, CacheStrategy, itemExample, NAMESPACE, parts } from './cache.js'
import { ref, timestamp } from './common.js'
import { MAX_TTL } from './config.js'

const { backend, grace, key, message, pattern, size, success, version, words } = parts

/** A namespace, or `*` for all of them. */
const namespaces = Type.Optional(Type.String({
  pattern: `${NAMESPACE}|^\\*$`, description: 'The namespace meant, `default` when absent; `*` means all of them', examples: ['default']
}))

export const ExportQuery = Type.Object({
  format: Type.Optional(words(['json', 'ndjson', 'csv'], {
    description: '`json` one document (the default), `ndjson` a line for each entry, `csv` for spreadsheets: it cannot be imported again',
    examples: ['json']
  })),
  pattern: Type.Optional(pattern),
  backend,
  namespace: namespaces
}, { additionalProperties: false })

export const ImportQuery = Type.Object({
  format: Type.Optional(words(['json', 'ndjson'], {
    description: 'What the body is; absent: what its Content-Type says', examples: ['json']
  })),
  backend,
  namespace: Type.Optional(Type.String({
    pattern: NAMESPACE, description: 'Where all entries go; absent: each goes where it was', examples: ['default']
  }))
}, { additionalProperties: false })

const { backend: _, ...shown } = itemExample
const row = { namespace: 'default', ...shown }

export const ExportedEntry = Type.Object({
  key,
  namespace: Type.Optional(Type.String({ pattern: NAMESPACE, description: 'Where it is; `default` when absent', examples: ['default'] })),
  value: Type.Unknown({ description: 'Any JSON that is of the data type' }),
  data_type: Type.Optional(ref(CacheDataType)),
  ttl: Type.Optional(Type.Number({ minimum: 0, maximum: MAX_TTL, description: 'Seconds left, to the millisecond; 0 when it never expires', examples: [3599.998] })),
  grace: Type.Optional(grace),
  created_at: Type.Optional(timestamp('When this version was written; not taken back by an import, nor are the next three and `version`')),
  accessed_at: Type.Optional(timestamp('When it was last read')),
  access_count: Type.Optional(Type.Integer({ minimum: 0, description: 'Reads since it was written', examples: [1] })),
  size: Type.Optional(size),
  metadata: Type.Optional(ref(CacheMetadata)),
  strategy: Type.Optional(ref(CacheStrategy)),
  version: Type.Optional(version)
}, {
  $id: 'ExportedEntry',
  additionalProperties: false,
  description: 'An entry in an export. A line of NDJSON has its place, `row`, as well, and the last one how many there are, `total_items`.',
  examples: [row]
})
export type ExportedEntry = Static<typeof ExportedEntry>

/** A whole file of NDJSON. */
export const ExportedLines = Type.String({
  description: 'An ExportedEntry on each line',
  examples: [`${JSON.stringify({ row: 1, ...row, total_items: 1 })}\n`]
})

export const CacheExport = Type.Object({
  success,
  format: Type.Literal('larder-export', { description: 'What the file is' }),
  version: Type.Literal(1, { description: 'Of the format' }),
  exported_at: timestamp('When the export began'),
  backend: Type.String({ description: 'Where the entries were' }),
  namespace: Type.String({ description: 'The namespace asked for, or `*`' }),
  pattern: Type.Union([Type.String(), Type.Null()], { description: 'The pattern asked for' }),
  entries: Type.Array(ref(ExportedEntry)),
  total_items: Type.Integer({ description: 'How many entries there are. A file that was cut off lacks it.' })
}, {
  $id: 'CacheExport',
  additionalProperties: false,
  description: 'The entries of a cache, each as it was when it was read',
  examples: [{
    success: true,
    format: 'larder-export',
    version: 1,
    exported_at: '2026-01-31T12:00:00.000Z',
    backend: 'memory',
    namespace: 'default',
    pattern: null,
    entries: [row],
    total_items: 1
  }]
})

export const CacheImportReply = Type.Object({
  success,
  message,
  total_items: Type.Integer({ description: 'Entries in the file' }),
  successful_count: Type.Integer({ description: 'Entries stored: all of them' }),
  failed_count: Type.Integer({ description: 'Always 0: a file at fault is refused as a whole' })
}, {
  $id: 'CacheImportReply',
  additionalProperties: false,
  description: 'What was imported',
  examples: [{ success: true, message: '1 entry imported', total_items: 1, successful_count: 1, failed_count: 0 }]
})
