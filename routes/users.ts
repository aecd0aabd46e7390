import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type {} from '../plugins/response-cache.js'
import { CachedQuery, CachedReadHeaders, Unchanged } from '../schemas/cache-aside.js'
import { Message, problems, ref } from '../schemas/common.js'
import { ChangeConditions, cached } from '../schemas/response-cache.js'
import { UserChanges, UserParams, UserReply, type User } from '../schemas/users.js'
import { permitOf } from '../services/preconditions.js'
import { sampleKeys } from '../services/sample-keys.js'
import { UserService } from '../services/users.js'

const keyOf = sampleKeys.users.one
const tags = ['Users']
const REPLY = ref(UserReply)

/** Users. Prefix: `/api/users`. */
const users: FastifyPluginAsyncTypebox = async (app) => {
  const service = new UserService(app.database, app.outbox)
  const { configStore, outbox } = app

  app.get('/:id', {
    config: { scope: 'users:read', cache: { ttl: () => configStore.get('samples.users.user_ttl'), for: 'everyone' } },
    schema: {
      operationId: 'getUser',
      summary: 'Read a user',
      tags,
      params: UserParams,
      querystring: CachedQuery,
      headers: CachedReadHeaders,
      response: { 200: cached(UserReply), 304: Unchanged, ...problems(404, 503, 504) }
    }
  }, async (request) => ({ user: await service.get(request.params.id) }))

  app.put('/:id', {
    config: { scope: 'users:write', invalidates: ({ params }) => [keyOf((params as UserParams).id)] },
    schema: {
      operationId: 'updateUser',
      summary: 'Rename a user',
      tags,
      params: UserParams,
      headers: ChangeConditions,
      body: ref(UserChanges),
      response: { 200: ref(Message), ...problems(404, 412, 503) }
    }
  }, async (request, reply) => {
    const { id } = request.params
    // As the route above writes it.
    const permit = permitOf(request.headers, `The user ${id}`, (user: User) => String(reply.serializeInput({ user }, REPLY)))
    await service.within(reply.call).update(id, request.body, permit)
    reply.afterInvalidation = () => { outbox.settle('cache', `users/${id}`) }
    return { message: 'User updated' }
  })
}

export default users
