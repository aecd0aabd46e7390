import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { nextLink } from '../plugins/cache-aside.js'
import type {} from '../plugins/response-cache.js'
import { CachedListQuery, CachedReadHeaders, Unchanged } from '../schemas/cache-aside.js'
import { Message, problems, ref } from '../schemas/common.js'
import { NewPost, PostListReply } from '../schemas/posts.js'
import { cached } from '../schemas/response-cache.js'
import { PostService } from '../services/posts.js'
import { sampleKeys } from '../services/sample-keys.js'

const { list: LIST_KEY } = sampleKeys.posts
const tags = ['Posts']

/** Posts. Prefix: `/api/posts`; the documented spelling is `/api/posts/`. */
const posts: FastifyPluginAsyncTypebox = async (app) => {
  const service = new PostService(app.database, app.outbox)
  const { configStore, outbox } = app

  app.get('/', {
    prefixTrailingSlash: 'slash',
    config: { scope: 'posts:read', cache: { ttl: () => configStore.get('samples.posts.list_ttl'), for: 'everyone' } },
    schema: {
      operationId: 'listPosts',
      summary: 'List the titles of posts',
      description: 'From the cache, pages as well; a new post drops all of them.',
      tags,
      querystring: CachedListQuery,
      headers: CachedReadHeaders,
      response: { 200: cached(PostListReply), 304: Unchanged, ...problems(503, 504) }
    }
  }, async (request, reply) => {
    const page = await service.list(request.query)
    if (page.next_cursor !== undefined) reply.header('link', nextLink(request, page.next_cursor))
    return page
  })

  app.post('/', {
    prefixTrailingSlash: 'slash',
    config: { scope: 'posts:write', invalidates: [LIST_KEY] },
    schema: {
      operationId: 'createPost',
      summary: 'Create a post',
      tags,
      body: ref(NewPost),
      response: { 201: ref(Message), ...problems(503) }
    }
  }, async (request, reply) => {
    const created = { status: 201, body: { message: 'Post created' } }
    const id = await service.within(reply.call).create(request.body, request.recording(() => created))
    reply.afterInvalidation = () => { outbox.settle('cache', `posts/${id}`) }
    return reply.sendOutcome(created)
  })
}

export default posts
