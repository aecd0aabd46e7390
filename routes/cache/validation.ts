import type { Static, TSchema } from '@sinclair/typebox'
import type { FastifyInstance, FastifySchemaCompiler } from 'fastify'
import { NewCacheEntry } from '../../schemas/cache.js'
import { MAX_BATCH } from '../../schemas/cache-batches.js'
import { ref } from '../../schemas/common.js'
import { InvalidInputError } from '../../services/errors.js'

type Validate = ReturnType<NonNullable<FastifyInstance['validatorCompiler']>>
interface Fault { instancePath?: string, message?: string, keyword?: string, params?: Record<string, unknown> }

const accept = () => true

/** Without the array that Object.keys makes. */
function isEmpty (query: object): boolean {
  // eslint-disable-next-line no-unreachable-loop -- one member is enough to know
  for (const _ in query) return false
  return true
}

/**
 * Validators for the route that has to be fast. Its handler checks the key, and the conditional header needs no check; a query
 * goes through its schema when there is one.
 */
export function frugalValidators (app: FastifyInstance): FastifySchemaCompiler<object> {
  return (part) => {
    if (part.httpPart !== 'querystring') return accept
    const validate = lazily(app, part)
    return (query) => isEmpty(query as object) || validate(query)
  }
}

/** Validators for batches: the body's schema describes its entries for the document, but each is judged by itself, by the handler. */
export function batchValidators (app: FastifyInstance): FastifySchemaCompiler<object> {
  return (part) => part.httpPart === 'body' ? checkBatch : lazily(app, part)
}

/** Validators for a route whose body is no value: all parts but the body are checked. */
export function bodyless (app: FastifyInstance): FastifySchemaCompiler<object> {
  return (part) => part.httpPart === 'body' ? accept : lazily(app, part)
}

/** Holds an entry of a batch to the schema that it would have as a request of its own. Throws InvalidInputError. */
export const entryCheck = (app: FastifyInstance): (entry: unknown) => NewCacheEntry => checkOf(app, NewCacheEntry)

/** Holds one of many entries to its schema. Throws InvalidInputError. */
export function checkOf<S extends TSchema> (app: FastifyInstance, schema: S): (entry: unknown) => Static<S> {
  let validate: Validate | undefined
  return (entry) => {
    validate ??= app.validatorCompiler!({ schema: ref(schema), method: 'POST', url: '', httpPart: 'body' })
    if (validate(entry) === false) throw new InvalidInputError(describe((validate as { errors?: Fault[] }).errors?.[0] ?? {}))
    return entry
  }
}

/** The instance has no compiler before it is ready: compiles at the first request. */
function lazily (app: FastifyInstance, part: Parameters<FastifySchemaCompiler<object>>[0]) {
  let validate: Validate | undefined
  return (data: unknown) => {
    validate ??= app.validatorCompiler!(part)
    return validate(data) === false ? { error: (validate as { errors?: Fault[] }).errors as unknown as Error } : true
  }
}

function checkBatch (body: unknown) {
  const fault = !Array.isArray(body)
    ? { keyword: 'type', message: 'must be an array' }
    : body.length > MAX_BATCH ? { keyword: 'maxItems', message: `must not hold more than ${MAX_BATCH} items` } : undefined
  return fault === undefined ? true : { error: [{ instancePath: '', schemaPath: '', params: {}, ...fault }] as unknown as Error }
}

function describe ({ instancePath = '', message = 'is not valid', keyword, params = {} }: Fault): string {
  if (keyword === 'additionalProperties') {
    return `entry${instancePath}/${String(params['additionalProperty']).slice(0, 100)} is not known here.`
  }
  if (keyword === 'enum') return `entry${instancePath} must be one of ${(params['allowedValues'] as string[]).join(', ')}.`
  return `entry${instancePath} ${message}.`
}
