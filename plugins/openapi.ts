import { createRequire } from 'node:module'
import fp from 'fastify-plugin'
import type { FastifySchema } from 'fastify'
import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { addComponents } from './components.js'
import { optionalBody, plainSchemas } from './openapi-schemas.js'
import { REFERENCE_POLICY } from './static.js'
import { Problem, problems, ref, type ProblemStatus } from '../schemas/common.js'

const { version } = createRequire(import.meta.url)('../package.json') as { version: string }

/** The chapters of the reference, in order. An operation names one of them in its `tags`. */
const TAGS = [
  { name: 'Cache', description: 'Keys and values in a chosen backend, with TTLs, tags and patterns' },
  { name: 'Items', description: 'Free-form objects, stored in PostgreSQL and cached' },
  { name: 'Products', description: 'Products, and what the cache gains them' },
  { name: 'Recipes', description: 'Recipes of products, behind the gatekeeper even in development' },
  { name: 'Users', description: 'Users, cached per route' },
  { name: 'Posts', description: 'Posts, cached per route' },
  { name: 'Keys', description: 'API keys: who may do what, and until when' },
  { name: 'Valet keys', description: 'Tokens that carry a part of their issuer’s rights for a few minutes, and the keys that they are signed with' },
  { name: 'Audit', description: 'Who did what, who was turned away, and why' },
  { name: 'Greetings', description: 'The front page and two greetings' },
  { name: 'Events', description: 'What happens, live, and what was given up' },
  { name: 'Configuration', description: 'What is in force and why, and changes while running' },
  { name: 'Health', description: 'Whether the service and its parts work' },
  { name: 'Observability', description: 'Numbers about the service' },
  { name: 'Documentation', description: 'This document, and what the types of problems mean' }
]

type Json = Record<string, unknown>

/** Without an example: Swagger UI would send the same key with every request. */
const IDEMPOTENCY_KEY: Json = {
  name: 'Idempotency-Key',
  in: 'header',
  description: 'Makes the request safe to repeat for 24 hours: the same key with the same request is carried out once, and gets the first answer again ' +
    '(409 while it is still being carried out, 422 with another request). A string in quotes, or a UUID as it is.',
  schema: { type: 'string', minLength: 1, maxLength: 600 }
}

interface Media { schema?: Json, example?: unknown, examples?: unknown }
interface Answer { description: string, headers?: Json, content?: Record<string, Media> }
interface Operation {
  description?: string
  parameters?: Json[]
  requestBody?: { required?: boolean, content: Record<string, Media> }
  responses: Record<string, Answer>
  security?: Record<string, string[]>[]
  'x-scope'?: string
  /** Only on its way to the document. */
  'x-unlimited'?: boolean
  'x-keyed'?: boolean
}
type Document = Json & {
  paths?: Record<string, Record<string, Operation>>
  components?: { schemas?: Record<string, Json>, headers?: Json, parameters?: Json, securitySchemes?: Json }
}

/** Where a credential may be; `services/access/` says what is one. */
const SECURITY_SCHEMES = {
  apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key', description: 'An API key, or the administrator\'s (`CACHE_API_KEY`)' },
  bearer: { type: 'http', scheme: 'bearer', description: 'The same, or a valet key. Send one credential, in one of the two headers.' }
}
/** Headers of the problems that guarded operations may answer with, and their components. */
const CHALLENGE = ['www-authenticate', 'WwwAuthenticate'] as const
const WAIT = ['retry-after', 'RetryAfter'] as const
const PROBLEM_HEADERS = { 401: CHALLENGE, 403: CHALLENGE, 429: WAIT, 503: WAIT }

/**
 * OpenAPI 3.1 from the routes' schemas, with Swagger UI at `/docs`. What holds for every operation (the request id, the
 * scope and the credentials that it asks for, the errors that the frame itself raises, an example wherever a component has one) is added
 * here, once. Registered before any route.
 */
export default fp(async function openapi (app) {
  addComponents(app, ref(Problem))
  const documented = new WeakMap<object, FastifySchema>()
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Larder',
        version,
        description: 'A cache that runs as a service. Errors are problems as of RFC 9457; times are ISO 8601 in UTC; TTLs are seconds, and 0 means for ever.',
        license: { name: 'MIT', identifier: 'MIT' } as { name: string }
      },
      servers: [{ url: '/', description: 'This service' }],
      security: [],
      tags: TAGS
    },
    refResolver: {
      buildLocalReference: (schema, _baseUri, _fragment, i) => typeof schema.$id === 'string' ? schema.$id : `schema-${i}`
    },
    transform: ({ schema, url, route }) => {
      const { scope, rateLimit, idempotency } = (route as { config?: { scope?: string, rateLimit?: unknown, idempotency?: unknown } }).config ?? {}
      const marks = { 'x-scope': scope, 'x-unlimited': rateLimit === false, 'x-keyed': typeof idempotency === 'object' }
      return { schema: { ...documented.get(schema) ?? schema, ...marks }, url }
    },
    transformObject: (document) =>
      complete((document as { openapiObject: Document }).openapiObject) as ReturnType<NonNullable<FastifyDynamicSwaggerOptions['transformObject']>>
  })
  // Problems are written by plugins/errors.ts: a serialiser for each of them would be most of the time that a start takes.
  app.addHook('onRoute', (route) => {
    const { schema } = route
    if (schema?.response === undefined) return
    route.schema = { ...schema, response: withoutProblems(schema.response as object) }
    documented.set(route.schema, schema)
  })
  await app.register(async (app) => {
    app.addHook('onRoute', (route) => {
      route.config = { ...route.config, scope: 'public' }
    })
    app.addHook('onRequest', (_request, reply, done) => {
      reply.headers(REFERENCE_POLICY)
      done()
    })
    await app.register(swaggerUi, {
      routePrefix: '/docs',
      staticCSP: false,
      theme: { title: 'Larder API' },
      uiConfig: { deepLinking: true, docExpansion: 'list', displayRequestDuration: true, filter: true }
    })
  })
}, { name: 'openapi', fastify: '5.x' })

function withoutProblems (response: object): object {
  return Object.fromEntries(Object.entries(response).filter(([, answer]) =>
    (answer as Answer).content?.['application/problem+json'] === undefined))
}

function complete (document: Document): Document {
  const components = document.components ??= {}
  components.headers = {
    ...components.headers,
    RequestId: {
      description: 'The id of this request: the caller\'s own when it sent a sane one, else a new one',
      schema: { type: 'string', pattern: '^[A-Za-z0-9_-]{1,64}$' },
      example: 'k3f9-1a'
    },
    WwwAuthenticate: {
      description: 'What credential to send (RFC 6750), and what is wrong with the one that was sent',
      schema: { type: 'string' },
      example: 'Bearer realm="larder", error="insufficient_scope", scope="cache:write"'
    },
    RetryAfter: { description: 'Seconds after which it may be tried again', schema: { type: 'integer', minimum: 1 }, example: 1 },
    RateLimitPolicy: {
      description: 'The limits that hold for the caller: requests (`q`) in seconds (`w`); draft-ietf-httpapi-ratelimit-headers-10',
      schema: { type: 'string' },
      example: '"per-minute";q=6000;w=60'
    },
    RateLimit: {
      description: 'What is left of each: requests (`r`), and the seconds after which there are more (`t`)',
      schema: { type: 'string' },
      example: '"per-minute";r=5999;t=1'
    },
    IdempotencyReplayed: {
      description: '`true` where this is the answer to an earlier request with the same Idempotency-Key, and nothing was done now',
      schema: { type: 'string', const: 'true' },
      example: 'true'
    }
  }
  components.parameters = { ...components.parameters, IdempotencyKey: IDEMPOTENCY_KEY }
  components.securitySchemes = SECURITY_SCHEMES
  plainSchemas(components.schemas)
  for (const [path, operations] of Object.entries(document.paths ?? {})) {
    for (const [method, operation] of Object.entries(operations)) {
      for (const status of [...always(method, path), ...guarded(operation)]) operation.responses[status] ??= problemAnswer(status)
      optionalBody(operation.requestBody)
      guard(operation)
      makeRepeatable(operation)
      completeOperation(operation, components.schemas ?? {})
    }
  }
  return document
}

/** What the frame answers before the operation is asked: a faulty address or query, a foreign page, a body that is none, too large or not JSON; and a `Request-Timeout` that passes. */
function always (method: string, path: string): ProblemStatus[] {
  return [400, ...path.includes('{') ? [414 as const] : [], ...method === 'get' ? [] : [403 as const, 413 as const, 415 as const], 500, 504]
}

/** What the gatekeeper and the limits answer before the operation is asked. On public ones a credential that is sent has to hold as well. */
function guarded ({ 'x-scope': scope, 'x-unlimited': unlimited }: Operation): ProblemStatus[] {
  return [401, ...unlimited === true ? [] : [429 as const], ...scope === 'public' ? [] : [403 as const, 503 as const]]
}

function guard (operation: Operation): void {
  const { 'x-scope': scope = 'public', description } = operation
  if (operation['x-unlimited'] !== true) limitAnswers(operation)
  delete operation['x-unlimited']
  operation.security = scope === 'public' ? [] : Object.keys(SECURITY_SCHEMES).map((name) => ({ [name]: [scope] }))
  if (scope !== 'public') operation.description = `${description === undefined ? '' : `${description}\n\n`}Needs the scope \`${scope}\`.`
  for (const [status, [header, component]] of Object.entries(PROBLEM_HEADERS)) {
    const answer = operation.responses[status]
    if (answer !== undefined) answer.headers = { [header]: { $ref: `#/components/headers/${component}` }, ...answer.headers }
  }
}

function limitAnswers ({ responses }: Operation): void {
  for (const answer of Object.values(responses)) {
    answer.headers = {
      'ratelimit-policy': { $ref: '#/components/headers/RateLimitPolicy' }, ratelimit: { $ref: '#/components/headers/RateLimit' }, ...answer.headers
    }
  }
}

/** What an Idempotency-Key adds: see plugins/idempotency.ts. */
function makeRepeatable (operation: Operation): void {
  const { 'x-keyed': isKeyed, parameters = [], responses } = operation
  delete operation['x-keyed']
  if (isKeyed !== true) return
  operation.parameters = [...parameters, { $ref: '#/components/parameters/IdempotencyKey' }]
  for (const status of [409, 422] as const) responses[status] ??= problemAnswer(status)
  responses[409]!.headers = { 'retry-after': { $ref: '#/components/headers/RetryAfter' }, ...responses[409]!.headers }
  for (const [status, answer] of Object.entries(responses)) {
    if (status.startsWith('2')) answer.headers = { 'idempotency-replayed': { $ref: '#/components/headers/IdempotencyReplayed' }, ...answer.headers }
  }
}

function completeOperation (operation: Operation, schemas: Record<string, Json>): void {
  const media = [operation.requestBody?.content, ...Object.values(operation.responses).map(({ content }) => content)]
  for (const one of media.flatMap((content) => Object.values(content ?? {}))) addExample(one, schemas)
  for (const answer of Object.values(operation.responses)) {
    answer.headers = { 'x-request-id': { $ref: '#/components/headers/RequestId' }, ...answer.headers }
  }
}

function problemAnswer (status: ProblemStatus): Answer {
  const answer = structuredClone(problems(status)[status]) as unknown as Answer
  answer.content!['application/problem+json']!.schema = { $ref: `#/components/schemas/${Problem.$id}` }
  return answer
}

/** A component's first example is that of whatever carries the component. */
function addExample (media: Media, schemas: Record<string, Json>): void {
  if (media.example !== undefined || media.examples !== undefined) return
  const name = /^#\/components\/schemas\/(.+)$/.exec(String(media.schema?.$ref))?.[1]
  const examples = name === undefined ? undefined : schemas[name]?.examples
  if (Array.isArray(examples) && examples.length > 0) media.example = examples[0] as unknown
}
