import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type {} from '../plugins/retry.js'
import type {} from '../plugins/together.js'
import { BreakerParams, BreakerStatus, BreakersReply } from '../schemas/breakers.js'
import { problems, ref } from '../schemas/common.js'
import type { BreakerChange, BreakerStatus as Status } from '../services/breakers.js'

const tags = ['Observability']
/** A key would be kept in PostgreSQL, which may be what is held. */
const NO_KEYS = 'A breaker is as it is asked to be, however often that is asked: send it again without Idempotency-Key.'

/** What leaves a server alone that does not answer: its state, and how to have it so by hand. Prefix: `/admin/breakers`. */
const breakers: FastifyPluginAsyncTypebox = async (app) => {
  const { together } = app
  app.addHook('onRequest', (_request, reply, done) => {
    reply.header('cache-control', 'no-store')
    done()
  })

  app.get('', {
    config: { scope: 'metrics:read', touches: 'everything' },
    schema: {
      operationId: 'listBreakers',
      tags,
      summary: 'List the breakers and their states',
      description: 'Where several processes serve together (`WORKERS`), of each breaker the worst state of any of them.',
      response: { 200: ref(BreakersReply), ...problems(503) }
    }
  }, async () => ({ breakers: (await together.breakers()).map(statusOf) }))

  app.post('/:name/open', {
    config: { scope: 'config:write', touches: 'everything', audit: 'breaker.open', idempotency: NO_KEYS },
    schema: {
      operationId: 'openBreaker',
      tags,
      summary: 'Hold a breaker open',
      description: 'Everything that needs the server is answered as when it is away, until the breaker is closed by hand. What has begun goes on. ' +
        'It holds in all processes of this service that serve now, not in others on the same servers, and is not stored: a process that begins later has it closed. ' +
        'While `postgres` is held, API keys cannot be looked up: the administrator’s key (`CACHE_API_KEY`) closes it. Takes no `Idempotency-Key`.',
      params: BreakerParams,
      response: { 200: ref(BreakerStatus), ...problems(404, 422, 503) }
    }
  }, async ({ params: { name } }) => await change({ name, to: 'open' }))

  app.post('/:name/close', {
    config: { scope: 'config:write', touches: 'everything', audit: 'breaker.close', idempotency: NO_KEYS },
    schema: {
      operationId: 'closeBreaker',
      tags,
      summary: 'Close a breaker',
      description: 'At once, whether it was opened by hand or by outages, which are forgotten: it opens again after as many more. Takes no `Idempotency-Key`.',
      params: BreakerParams,
      response: { 200: ref(BreakerStatus), ...problems(404, 422, 503) }
    }
  }, async ({ params: { name } }) => await change({ name, to: 'closed' }))

  async function change (asked: BreakerChange): Promise<BreakerStatus> {
    app.breakers.check(asked.name)
    const found = (await together.breakers(asked)).find(({ name }) => name === asked.name)
    return statusOf(found as Status)
  }
}

const statusOf = ({ name, state, isHeld, since, outages }: Status): BreakerStatus =>
  ({ name, state, held: isHeld, since: new Date(since).toISOString(), outages })

export default breakers
