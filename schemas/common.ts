import { Type, type Static, type TSchema, type TUnsafe } from '@sinclair/typebox'
import { PROBLEM_BY_STATUS, PROBLEMS, type ProblemStatus } from './problems.js'

export type { ProblemStatus }

/**
 * Named components. A schema that stands in the OpenAPI document is declared once, with a `$id` in PascalCase, a
 * `description` and `examples`, and is mentioned elsewhere by `ref`:
 *
 *     export const Item = Type.Object({ … }, { $id: 'Item', description: 'A stored item', examples: [{ … }] })
 *     export type Item = Static<typeof Item>
 *
 *     schema: { body: ref(NewItem), response: { 200: ref(ItemReply), ...problems(404) } }
 *
 * Nothing needs to be registered: a reference carries its component, and `plugins/components.ts` adds to each route's
 * context what the route mentions, however deep. The document takes description and example from the component.
 */
export const COMPONENT = Symbol('component')

/** A reference to a named component, typed as the component. */
export function ref<S extends TSchema> (schema: S): TUnsafe<Static<S>> {
  if (schema.$id === undefined) throw new TypeError('Only a schema with a $id can be referred to')
  return Object.assign(Type.Unsafe<Static<S>>({ $ref: schema.$id }), { [COMPONENT]: schema })
}

/** An answer of JSON with its own description and example, where the component's would mislead: `503: answer(Health, 'Down', { … })`. */
export function answer<S extends TSchema> (schema: S, description: string, example: Static<S>): TUnsafe<Static<S>> {
  return { description, content: { 'application/json': { schema: ref(schema), example } } } as unknown as TUnsafe<Static<S>>
}

/** One fault of a request that did not validate. */
export const ValidationIssue = Type.Object({
  path: Type.String({ description: 'Where: the part of the request, then a JSON pointer, as in `body/ttl` or `query/limit`' }),
  message: Type.String({ description: 'What is wrong there' })
}, {
  $id: 'ValidationIssue',
  additionalProperties: false,
  description: 'One fault of a request that did not validate',
  examples: [{ path: 'body/ttl', message: 'must be number' }]
})
export type ValidationIssue = Static<typeof ValidationIssue>

/** RFC 9457. Every error has this form, those raised before routing included. */
export const Problem = Type.Object({
  type: Type.String({ format: 'uri-reference', description: 'Identifies the kind of problem; the page at this address explains it' }),
  title: Type.String({ description: 'The kind of problem in words, the same for every occurrence' }),
  status: Type.Integer({ minimum: 400, maximum: 599, description: 'The status of the response' }),
  detail: Type.String({ description: 'What happened this time, and what to do next' }),
  instance: Type.String({ description: 'The request id, as in the `x-request-id` header and in the logs' }),
  errors: Type.Optional(Type.Array(ref(ValidationIssue), { description: 'Each fault, where the request did not validate' })),
  'violated-policies': Type.Optional(Type.Array(Type.String(), { description: 'Which of the limits in `RateLimit-Policy` were reached, where there were too many requests' }))
}, {
  $id: 'Problem',
  description: 'An error (RFC 9457)',
  examples: [{
    type: '/problems/not-found',
    title: 'Not found',
    status: 404,
    detail: 'There is nothing at this path: see /docs for what there is.',
    instance: 'k3f9-1a'
  }]
})
export type Problem = Static<typeof Problem>

/** A message that says what was done. */
export const Message = Type.Object({
  message: Type.String()
}, { $id: 'Message', description: 'What was done, in words', examples: [{ message: 'Done' }] })
export type Message = Static<typeof Message>

/** `limit` of a list: 1–1000, default 100. For query strings, as `cursor` and `offset` are. */
export const limit = Type.Optional(Type.Integer({
  minimum: 1, maximum: 1000, default: 100, description: 'How many to answer at most', examples: [100]
}))

/** `offset` of a list that still has one; a `cursor` is cheaper and misses nothing while others write. */
export const offset = Type.Optional(Type.Integer({
  minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0, description: 'How many to leave out first', examples: [0]
}))

/**
 * `cursor` of a list: `next_cursor` of the page before, opaque. It has no example, as no header of a condition has one: Swagger UI
 * fills its form with examples, and sends what nobody asked for.
 */
export const cursor = Type.Optional(Type.String({
  minLength: 1, maxLength: 1024, description: 'Where to go on: `next_cursor` of the page before, as it came'
}))

/** `order` of a list that is kept in the order in which its things came about. */
export const order = Type.Optional(Type.Unsafe<'oldest' | 'newest'>(Type.String({
  enum: ['oldest', 'newest'], default: 'oldest', description: 'Which end comes first; the same for every page', examples: ['newest']
})))

/** `next_cursor` of a page; absent on the last one. */
export const nextCursor = Type.Optional(Type.String({
  description: 'Give it back as `cursor` to get the next page; absent on the last one', examples: ['bzoxMDA']
}))

/** Headers of a stream of messages, for the document. */
export const lastEventId = Type.Object({
  'last-event-id': Type.Optional(Type.String({ description: 'Go on after the message with this id' }))
})

/**
 * The 200 of a stream of server-sent events. The document has no words for such streams: by the custom that generators of clients follow, the schema is that of
 * the `data` of each message.
 */
export function messages<S extends TSchema> (schema: S, description: string): TUnsafe<Static<S>> {
  return {
    description: `${description}. Each message has as its \`data\`, on one line of JSON, what the schema says`,
    content: { 'text/event-stream': { schema: ref(schema) } }
  } as unknown as TUnsafe<Static<S>>
}

/** A moment: ISO 8601 in UTC. */
export const timestamp = (description: string) =>
  Type.String({ format: 'date-time', description, examples: ['2026-01-31T12:00:00.000Z'] })

/**
 * The error answers of an operation, each with an example: `response: { 200: ref(Item), ...problems(404, 503) }`. What
 * the frame itself answers (400, 413, 414, 415 and 500) the document adds by itself.
 */
export function problems<const S extends readonly ProblemStatus[]> (...statuses: S): { [K in S[number]]: TUnsafe<Problem> } {
  const responses: Record<number, unknown> = {}
  for (const status of statuses) responses[status] = problemResponse(status)
  return responses as { [K in S[number]]: TUnsafe<Problem> }
}

function problemResponse (status: ProblemStatus) {
  const slug = PROBLEM_BY_STATUS[status]
  const [, title, detail] = PROBLEMS[slug]
  return {
    description: title,
    content: {
      'application/problem+json': {
        schema: ref(Problem),
        example: { type: `/problems/${slug}`, title, status, detail, instance: 'k3f9-1a' }
      }
    }
  }
}
