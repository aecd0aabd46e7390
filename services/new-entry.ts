import type { NewCacheEntry } from '../schemas/cache.js'
import { checkStrategy } from './cache/backends/capabilities.js'
import type { Cache } from './cache/cache.js'
import type { NewEntry, Strategy } from './cache/entry.js'
import { invalidField } from './errors.js'
import { checkTags } from './names.js'
import { toJsonText, toTypedValue } from './values.js'

type Backend = Cache['backend']

/** Bytes of JSON text. */
const MAX_METADATA = 16_384

/**
 * An entry as a caller gave it, after its schema was checked, as the cache takes it: the value typed and encoded, the tags out of
 * the metadata.
 * @throws InvalidInputError, UnsupportedOperationError
 */
export function toNewEntry ({ value, data_type: dataType, ttl, grace, strategy, metadata }: NewCacheEntry, backend: Backend): NewEntry {
  const entry: NewEntry = toTypedValue(value, dataType)
  if (ttl !== undefined) entry.ttl = ttl
  if (grace !== undefined) entry.grace = grace
  if (strategy !== undefined) entry.strategy = builtStrategy(strategy, backend)
  if (metadata !== undefined) {
    if (metadata.tags !== undefined) entry.tags = checkTags(metadata.tags, 'metadata/tags')
    entry.metadata = metadataText(metadata)
  }
  return entry
}

/** @throws UnsupportedOperationError for a strategy that the backend cannot honour */
export function builtStrategy (strategy: NonNullable<NewCacheEntry['strategy']>, backend: Backend): Strategy {
  checkStrategy(strategy, backend)
  return strategy
}

function metadataText (metadata: object): string {
  const text = toJsonText(metadata, 'metadata')
  const size = Buffer.byteLength(text)
  if (size > MAX_METADATA) {
    throw invalidField('metadata', `must not take more than ${MAX_METADATA} bytes of JSON: this takes ${size}.`)
  }
  return text
}
