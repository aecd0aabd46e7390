import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { messageText } from '../plugins/event-streams.js'
import type {} from '../plugins/live.js'
import { lastEventId, messages, problems } from '../schemas/common.js'
import { LiveSample } from '../schemas/live.js'
import { InvalidInputError } from '../services/errors.js'
import type { Taken } from '../services/live/sampler.js'

/** How the service does, second by second. Prefix: `/metrics/live`. Where metrics are off there is nothing here. */
const live: FastifyPluginAsyncTypebox = async (app) => {
  const sampler = app.live
  if (sampler === undefined) return
  const texts = new WeakMap<Taken, string>()
  /** Listeners are given the same samples: each is made into text once. */
  const textOf = (taken: Taken): string => {
    const text = texts.get(taken) ?? messageText({ id: String(taken.time), event: 'sample', data: taken.sample })
    texts.set(taken, text)
    return text
  }

  app.get('', {
    config: { scope: 'metrics:read', touches: 'everything' },
    sse: 'only',
    schema: {
      operationId: 'watchMetrics',
      tags: ['Observability'],
      summary: 'Watch how the service does',
      description: 'Server-sent events named `sample`: those of the last five minutes, then one a second. While nobody listens one in ten seconds is taken, which leaves out what ' +
        'others would have to be asked for. `Last-Event-ID` goes on after a sample. Where several processes serve together (`WORKERS`) everything is of all of them, but `parts`. ' +
        'Without metrics (`CACHE_METRICS_ENABLED=false`) this does not exist.',
      headers: lastEventId,
      response: {
        200: messages(LiveSample, 'A stream of messages named `sample`'),
        ...problems(400, 406, 503)
      }
    }
  }, async (request, reply) => {
    const given = request.headers['last-event-id']
    const after = given === undefined ? undefined : Number(given)
    if (after !== undefined && !Number.isSafeInteger(after)) throw new InvalidInputError('Last-Event-ID must be the id of an event of this stream.')
    await reply.sendEvents(async function * (ended) {
      for await (const taken of sampler.listen(ended, after)) yield textOf(taken)
    })
  })
}

export default live
