import type { Cache } from '../cache/cache.js'
import type { Caller } from '../cache/caller.js'
import type { EncodedValue, Entry } from '../cache/entry.js'
import type { Matcher } from '../cache/glob.js'
import { type ExportFormat, exportWriter } from './format.js'

/** Characters that are gathered before they are handed on: a chunk for each row would be mostly overhead. */
const CHUNK = 65_536

/** What of a cache is gone through. */
export interface ExportScope {
  /** One after the other; undefined goes through all. */
  namespaces: readonly string[] | undefined
  /** Leaves out every key that it refuses. */
  within?: Matcher | undefined
  /** Leaves out every entry that it refuses. */
  isVisible?: (entry: Entry) => boolean
}

export interface ExportQuery extends ExportScope {
  format: ExportFormat
  /** What was asked for, as the file says it: a name, or `*`. */
  namespace: string
  /** A glob over keys. */
  pattern?: string | undefined
}

export interface Export {
  contentType: string
  /** The file, in pieces. Nothing is read before the first is asked for. */
  chunks: AsyncGenerator<EncodedValue>
}

/**
 * Every entry of a cache as a file, read in portions while it is written: memory is bounded however many there are, and each entry is
 * as it was when its portion was read. What changes meanwhile may be in it or not; on a shared backend an entry may come twice. It breaks off once
 * the caller has gone.
 */
export function exportCache (cache: Cache, { format, namespace, namespaces, pattern, within, isVisible = () => true }: ExportQuery, caller?: Caller): Export {
  const writer = exportWriter(format, { backend: cache.backend, namespace, pattern, exportedAt: cache.now })
  return { contentType: writer.contentType, chunks: chunksOf() }

  async function * chunksOf (): AsyncGenerator<EncodedValue> {
    let text = writer.head
    let total = 0
    for await (const entries of portions()) {
      const { now } = cache
      for (const entry of entries) {
        if (!isVisible(entry)) continue
        if (total > 0) text += writer.separator
        const row = writer.row(entry, ++total, now)
        if (typeof row === 'string') {
          text += row
        } else {
          if (text !== '') yield text
          text = ''
          yield row
        }
        if (text.length >= CHUNK) {
          yield text
          text = ''
        }
      }
    }
    yield text + writer.tail(total)
  }

  async function * portions (): AsyncGenerator<Entry[]> {
    for (const each of namespaces ?? [undefined]) yield * cache.dump(each, pattern, within, caller)
  }
}
