import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type {} from '../plugins/response-cache.js'
import { CachedQuery, NotModified } from '../schemas/cache-aside.js'
import { Message, problems, ref } from '../schemas/common.js'
import { CachedResponseHeaders, cached } from '../schemas/response-cache.js'
import { UserChanges, UserParams, UserReply } from '../schemas/users.js'
import { sampleKeys } from '../services/sample-keys.js'
import { UserService } from '../services/users.js'

const keyOf = sampleKeys.users.one
const tags = ['Users']

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
      headers: CachedResponseHeaders,
      response: { 200: cached(UserReply), 304: NotModified, ...problems(404, 503, 504) }
    }
  }, async (request) => ({ user: await service.get(request.params.id) }))

  app.put('/:id', {
    config: { scope: 'users:write', invalidates: ({ params }) => [keyOf((params as UserParams).id)] },
    schema: {
      operationId: 'updateUser',
      summary: 'Rename a user',
      tags,
      params: UserParams,
      body: ref(UserChanges),
      response: { 200: ref(Message), ...problems(404, 503) }
    }
  }, async (request, reply) => {
    const { id } = request.params
    await service.within(reply.call).update(id, request.body)
    reply.afterInvalidation = () => { outbox.settle('cache', `users/${id}`) }
    return { message: 'User updated' }
  })
}

export default users
