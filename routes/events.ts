import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { messageText } from '../plugins/event-streams.js'
import type {} from '../plugins/events.js'
import { lastEventId, Message, messages, problems, ref } from '../schemas/common.js'
import { DeadLetterListReply, DeadLetterParams, DeadLetterQuery, Event as EventReply, EventQuery, NewEvent, StreamedEvent } from '../schemas/events.js'
import { checkNamespaceReach } from '../services/access/access.js'
import { type Principal, seesNamespace } from '../services/access/principal.js'
import { InvalidInputError, UnsupportedHereError } from '../services/errors.js'
import type { Event } from '../services/events/event.js'
import { MAX_TYPE_PATTERNS, typeFilter } from '../services/events/feed.js'
import { kindOf, KNOWN_TO, mayKnowKind } from '../services/events/kinds.js'
import { isUuid } from '../services/uuid.js'

const tags = ['Events']

const DEFAULT = 'default'

/** What happens, live. Prefix: `/events`. */
const events: FastifyPluginAsyncTypebox = async (app) => {
  const { outbox, eventFeed, deadLetters, database } = app
  const texts = new WeakMap<Event, string>()
  /** Listeners are given the same events: each is made into text once. */
  const textOf = (event: Event): string => {
    const text = texts.get(event) ?? messageText({ id: event.id, event: event.type, data: event })
    texts.set(event, text)
    return text
  }

  app.get('', {
    config: { scope: 'events:read' },
    sse: 'only',
    schema: {
      operationId: 'streamEvents',
      summary: 'Listen to events',
      description: 'Server-sent events, each named by its type, from now on. `Last-Event-ID` goes on after an event, without a gap and without a repetition; ' +
        'where that event is not kept any more, the stream begins with one named `gap`. What happens to items, products, recipes, users and posts is told as `recipe.created`, and what is published by its channel; ' +
        '`breaker.opened` and `breaker.closed` (for who may read metrics, of everything) tell of breakers: `data` has the members `name`, `state`, `held`, `since`, `opened_at`, `outages`, `missed`, `host` and `pid`. Events of resources that the credential may not read, and what was published in namespaces that it does not reach, are left out.',
      tags,
      querystring: EventQuery,
      headers: lastEventId,
      response: { 200: messages(StreamedEvent, 'A stream of events'), ...problems(400, 406, 503) }
    }
  }, async (request, reply) => {
    const { types } = request.query
    if (types !== undefined && types.split(',').length > MAX_TYPE_PATTERNS) throw new InvalidInputError(`types takes up to ${MAX_TYPE_PATTERNS} patterns: name fewer, or wider ones.`)
    const isWanted = typeFilter(types)
    const { principal } = request
    // Some clients send it empty as long as they have had none.
    const given = request.headers['last-event-id'] || undefined
    const known = typeof given === 'string' && isUuid(given) ? await eventFeed.positionOf(given) : undefined
    const from = known ?? await eventFeed.newest()
    await reply.sendEvents(async function * (ended) {
      if (given !== undefined && known === undefined) yield { event: 'gap', data: { reason: 'The event in Last-Event-ID is not kept any more' } }
      for await (const event of eventFeed.after(from, ended)) {
        if (isWanted(event.type) && mayKnow(principal, event)) yield textOf(event)
      }
    })
  })

  app.post('', {
    config: { scope: 'events:write' },
    schema: {
      operationId: 'publishEvent',
      summary: 'Publish an event',
      tags,
      body: ref(NewEvent),
      response: { 201: ref(EventReply), ...problems(422, 503) }
    }
  }, async (request, reply) => {
    const { channel, namespace = DEFAULT, event } = request.body
    checkNamespaceReach(request.principal, namespace)
    if (KNOWN_TO.has(channel)) throw new UnsupportedHereError(`Events of the channel ${channel} are recorded with the changes that they are about: take another.`)
    const kind = event['type']
    const given = typeof kind === 'string' && /^[A-Za-z0-9_.-]{1,100}$/.test(kind) ? kind : 'published'
    const type = given.startsWith(`${channel}.`) ? given : `${channel}.${given}`
    const published = (recorded: Event) => ({ status: 201, body: recorded })
    const recording = request.recording(published)
    const subject = subjectOf(namespace, channel)
    const { call } = reply
    return reply.sendOutcome(published(await outbox.inTurn(subject, async () => await database.within(reply.call).transaction(async (transaction) => {
      const recorded = await outbox.record(transaction, { type, subject, data: event })
      await recording?.(transaction, recorded)
      return recorded
    }, call), call.signal)))
  })

  app.get('/dead-letters', {
    config: { scope: 'events:read' },
    schema: {
      operationId: 'listDeadLetters',
      summary: 'List events that were given up',
      tags,
      querystring: DeadLetterQuery,
      response: { 200: ref(DeadLetterListReply), ...problems(400, 503) }
    }
  }, async ({ query: { limit = 100, cursor }, principal }, reply) => {
    const { letters, next_cursor: next } = await deadLetters.list({ limit, cursor })
    if (next !== undefined) void reply.header('link', `<${app.prefix}/dead-letters?limit=${limit}&cursor=${next}>; rel="next"`)
    return {
      dead_letters: letters.filter(({ event }) => mayKnow(principal, event)).map(({ failedAt, event, ...letter }) =>
        ({ ...letter, failed_at: failedAt.toISOString(), event: { ...event, time: event.time.toISOString() } })),
      ...(next === undefined ? {} : { next_cursor: next })
    }
  })

  app.delete('/dead-letters/:id', {
    config: { scope: 'events:delete', touches: 'everything', audit: 'event.give-up' },
    schema: {
      operationId: 'deleteDeadLetter',
      summary: 'Give an event up for good',
      description: 'The consumer that gave it up never gets it again; listeners and webhooks are not concerned.',
      tags,
      params: DeadLetterParams,
      response: { 200: ref(Message), ...problems(404, 503) }
    }
  }, async ({ params: { id } }) => {
    await deadLetters.remove(id)
    return { message: 'The dead letter is removed' }
  })

  app.post('/dead-letters/:id/retry', {
    config: { scope: 'events:write', touches: 'everything', audit: 'event.retry' },
    schema: {
      operationId: 'retryDeadLetter',
      summary: 'Have an event tried again',
      description: 'By the consumer that gave it up, from the first attempt on.',
      tags,
      params: DeadLetterParams,
      response: { 202: ref(Message), ...problems(404, 503) }
    }
  }, async (request, reply) => {
    const accepted = { status: 202, body: { message: 'It is tried again' } }
    await deadLetters.retry(request.params.id, request.recording(() => accepted))
    return reply.sendOutcome(accepted)
  })
}

function mayKnow (principal: Principal, { type, subject }: Pick<Event, 'type' | 'subject'>): boolean {
  const kind = kindOf(type)
  if (kind === undefined) return principal.resources === undefined && seesNamespace(principal, namespaceOf(subject))
  return mayKnowKind(principal, kind) && (principal.kind === 'local' || principal.resources === undefined || principal.resources.covers(subject))
}

/** No subject of a resource has three parts. */
const subjectOf = (namespace: string, channel: string): string => namespace === DEFAULT ? channel : `namespaces/${namespace}/${channel}`
const namespaceOf = (subject: string): string => /^namespaces\/([^/]+)\//.exec(subject)?.[1] ?? DEFAULT

export default events
