import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import createError from '@fastify/error'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type {} from '../../plugins/deadlines.js'
import { CacheExport, CacheImportReply, ExportedEntry, ExportedLines, ExportQuery, ImportQuery } from '../../schemas/cache-transfer.js'
import { problems, ref } from '../../schemas/common.js'
import { checkKeyAccess, checkNamespaceReach, keysWithin, namespacesOf, seesCache } from '../../services/access/access.js'
import { type Principal, seesKey, seesNamespace } from '../../services/access/principal.js'
import { checkKey, checkPattern } from '../../services/names.js'
import { toNewEntry } from '../../services/new-entry.js'
import { exportCache, type ExportScope } from '../../services/transfer/export.js'
import type { ImportFormat } from '../../services/transfer/format.js'
import { type ImportedEntry, importInto } from '../../services/transfer/import.js'
import { Spool } from '../../services/transfer/spool.js'
import { WHOLE } from './costs.js'
import { cacheOf, DEFAULT_NAMESPACE, EMPTY_NAMESPACE } from './place.js'
import { bodyless, checkOf } from './validation.js'

export interface TransferRoutesOptions {
  /** Bytes that a key may have. */
  maxKeyLength: number
  /** Bytes that the file of an import may have. */
  maxImportSize: number
  /** Folder for what is on its way. */
  spoolDirectory: string
}

/** Each takes up to `maxImportSize` of the disk. */
const IMPORTS_AT_ONCE = 2
/** How long an upload may stand still, in milliseconds. */
const UPLOAD_IDLE = 15_000
/** How long the rest of an upload that is refused is read, in milliseconds. */
const DISCARDING = 1000

const TYPES: Record<string, ImportFormat> = {
  'application/json': 'json', 'application/x-ndjson': 'ndjson', 'application/ndjson': 'ndjson', 'application/jsonl': 'ndjson'
}

const BusyError = createError('ERR_UNAVAILABLE', 'Other imports are under way: try again when they are done.', 503)
const StalledError = createError('ERR_REQUEST_TIMEOUT', 'The body stopped coming: send it again.', 408)
const EncodedError = createError('ERR_UNSUPPORTED_MEDIA_TYPE', 'The body is compressed: send it as it is, without Content-Encoding.', 415)
const CsvError = createError(
  'ERR_UNSUPPORTED_MEDIA_TYPE', 'CSV is for export only, as it cannot tell a whole file from a part of one: export as JSON or NDJSON, and import that.', 415)

const NO_KEYS = 'An import takes no Idempotency-Key, since its file is not kept to be compared: send it without. It is applied whole or not at all, and ' +
  'applying it again stores the same entries.'

const tags = ['Cache']

/** All entries out as a file, and back. */
const transfer: FastifyPluginAsyncTypebox<TransferRoutesOptions> = async (app, { maxKeyLength, maxImportSize, spoolDirectory }) => {
  const { caches } = app
  const checkedRow = checkOf(app, ExportedEntry)
  let imports = 0

  app.get('/export', {
    config: { scope: 'cache:read', priority: 'bulk', touches: 'handler', audit: 'cache.export', rateLimit: { cost: WHOLE } },
    exposeHeadRoute: false,
    schema: {
      operationId: 'exportCache',
      summary: 'Export all entries',
      description: 'Streams the entries of a backend, each as it was when it was read. What is written meanwhile may be in it or not. What is stale, past its TTL or ' +
        'softly invalidated, is left out, as in the list of keys.',
      tags,
      querystring: ExportQuery,
      response: {
        200: {
          description: 'The entries',
          content: {
            'application/json': { schema: ref(CacheExport) },
            'application/x-ndjson': { schema: ExportedLines },
            'text/csv': { schema: { type: 'string', description: 'RFC 4180, with a header; `value` and `metadata` are JSON text' } }
          }
        },
        ...problems(400, 422, 503)
      }
    }
  }, async ({ query, principal }, reply) => {
    const { format = 'json', pattern, backend, namespace = DEFAULT_NAMESPACE } = query
    if (pattern !== undefined) checkPattern(pattern)
    const cache = cacheOf(caches, backend)
    const { contentType, chunks } = exportCache(cache, { format, namespace, pattern, ...visibleTo(principal, namespace) }, reply)
    // A backend that is down is to be answered with a status, so the first piece is here before the headers go.
    const first = await chunks.next()
    void reply.header('content-type', contentType).header('cache-control', 'no-store')
      .header('content-disposition', `attachment; filename="larder-${cache.backend}.${format}"`)
    return await reply.send(Readable.from(startingWith(first, chunks), { objectMode: false, highWaterMark: 65_536 }))
  })

  await app.register(async (app) => {
    app.removeAllContentTypeParsers()
    // The body is no value but a stream, which the handler puts on disk.
    app.addContentTypeParser('text/csv', (_request, _payload, done) => { done(new CsvError()) })
    app.addContentTypeParser(Object.keys(TYPES), (_request, payload, done) => { done(null, payload) })

    app.post('/import', {
      config: { scope: 'cache:write', priority: 'bulk', touches: 'handler', audit: 'cache.import', rateLimit: { cost: WHOLE }, idempotency: NO_KEYS },
      bodyLimit: maxImportSize,
      validatorCompiler: bodyless(app),
      schema: {
        operationId: 'importCache',
        summary: 'Import entries',
        description: 'Takes what the export gave, as JSON or NDJSON: all of it, or nothing when the file was cut off, is of another origin, or ' +
          'does not fit. The answer names the line at fault. TTLs run from now on; tags and other metadata, types and strategies stay as they were.',
        tags,
        querystring: ImportQuery,
        body: { content: { 'application/json': { schema: ref(CacheExport) }, 'application/x-ndjson': { schema: ExportedLines } } },
        response: { 200: ref(CacheImportReply), ...problems(400, 413, 415, 422, 503, 507) }
      }
    }, async (request, reply) => {
      const { principal } = request
      const { format: said, backend, namespace } = request.query as { format?: ImportFormat, backend?: string, namespace?: string }
      checkEncoding(request)
      const format = said ?? formatOf(request)
      const cache = cacheOf(caches, backend)
      if (namespace !== undefined) checkNamespaceReach(principal, namespace)
      if (imports >= IMPORTS_AT_ONCE) throw new BusyError()
      imports++
      let spool: Spool | undefined
      try {
        spool = await Spool.open(spoolDirectory)
        await receive(request, reply, spool, maxImportSize)
        const check = (row: Record<string, unknown>): ImportedEntry => {
          const imported = entryOf(checkedRow(row), cache.backend, namespace)
          checkKeyAccess(principal, imported.namespace, imported.key)
          return imported
        }
        const total = await importInto(cache, spool, { format, check, caller: reply })
        return {
          success: true as const,
          message: `${total} ${total === 1 ? 'entry' : 'entries'} imported`,
          total_items: total,
          successful_count: total,
          failed_count: 0
        }
      } finally {
        imports--
        await spool?.close()
      }
    })
  })

  function entryOf ({ key, namespace = DEFAULT_NAMESPACE, ...given }: ExportedEntry, backend: Parameters<typeof toNewEntry>[1], into: string | undefined): ImportedEntry {
    checkKey(key, maxKeyLength)
    const { value, data_type: dataType, ttl, grace, strategy, metadata } = given
    return {
      key,
      namespace: into ?? namespace,
      entry: toNewEntry({
        key,
        value,
        ...(dataType !== undefined && { data_type: dataType }),
        ...(ttl !== undefined && { ttl }),
        ...(grace !== undefined && { grace }),
        ...(strategy !== undefined && { strategy }),
        // An export writes "none" as {}.
        ...(metadata !== undefined && Object.keys(metadata).length > 0 && { metadata })
      }, backend)
    }
  }
}

/** What of an export exists for the principal: `namespaces` undefined goes through all, and `isVisible` leaves out what does not. */
function visibleTo (principal: Principal, namespace: string): ExportScope {
  if (namespace !== '*') {
    return { namespaces: [seesNamespace(principal, namespace) ? namespace : EMPTY_NAMESPACE], within: keysWithin(principal, namespace) }
  }
  if (seesCache(principal)) return { namespaces: undefined }
  return { namespaces: namespacesOf(principal), isVisible: ({ namespace, key }) => seesKey(principal, namespace, key) }
}

/** Lets the body take its time, as long as something comes. */
async function receive (request: FastifyRequest, reply: FastifyReply, spool: Spool, limit: number): Promise<void> {
  const { server, raw } = request
  // Without a body there is none to be parsed.
  const body = request.body as Readable | undefined ?? Readable.from([])
  const patience = setTimeout(() => { raw.destroy(new StalledError()) }, UPLOAD_IDLE)
  server.uploads.add(raw.socket)
  try {
    await spool.fill(body, limit, () => { patience.refresh() })
  } catch (error) {
    if (!await isDiscarded(body)) void reply.header('connection', 'close')
    throw error
  } finally {
    clearTimeout(patience)
    server.uploads.delete(raw.socket)
  }
}

/**
 * Reads the rest of a body that is refused: its sender may listen to the answer only then, and the connection is of use for another request.
 * False where it was too much, or broke off: the error that matters is the one for which it is refused.
 */
async function isDiscarded (body: Readable): Promise<boolean> {
  const read = finished(body, { writable: false, signal: AbortSignal.timeout(DISCARDING) })
  body.resume()
  return await read.then(() => true, () => false)
}

async function * startingWith<T> (first: IteratorResult<T>, rest: AsyncGenerator<T>): AsyncGenerator<T> {
  try {
    if (first.done !== true) yield first.value
    yield * rest
  } finally {
    await rest.return(undefined)
  }
}

function checkEncoding ({ headers }: FastifyRequest): void {
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') throw new EncodedError()
}

function formatOf ({ headers }: FastifyRequest): ImportFormat {
  const [type = ''] = (headers['content-type'] ?? '').split(';')
  return TYPES[type.trim().toLowerCase()] ?? 'json'
}

export default transfer
