import type { Cache } from '../cache/cache.js'
import type { EncodedValue } from '../cache/entry.js'
import { type ExportFormat, exportWriter } from './format.js'

/** Characters that are gathered before they are handed on: a chunk for each row would be mostly overhead. */
const CHUNK = 65_536

export interface ExportQuery {
  format: ExportFormat
  /** undefined exports every namespace. */
  namespace: string | undefined
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
 * as it was when its portion was read. What changes meanwhile may be in it or not; on a shared backend an entry may come twice.
 */
export function exportCache (cache: Cache, { format, namespace, pattern }: ExportQuery): Export {
  const writer = exportWriter(format, { backend: cache.backend, namespace: namespace ?? '*', pattern, exportedAt: cache.now })
  return { contentType: writer.contentType, chunks: chunksOf() }

  async function * chunksOf (): AsyncGenerator<EncodedValue> {
    let text = writer.head
    let total = 0
    for await (const entries of cache.dump(namespace, pattern)) {
      const { now } = cache
      for (const entry of entries) {
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
}
