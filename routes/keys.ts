import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { problems, ref } from '../schemas/common.js'
import {
  ApiKey, ApiKeyListQuery, ApiKeyListReply, ApiKeyParams, ApiKeyRevokedReply, ApiKeyRotation, IssuedApiKey, NewApiKey
} from '../schemas/keys.js'

const tags = ['Keys']
const outcomeOf = (issued: IssuedApiKey) => ({ status: 201, headers: { location: `/keys/${issued.id}` }, body: issued })

/** API keys. Prefix: `/keys`. */
const keys: FastifyPluginAsyncTypebox = async (app) => {
  const { apiKeys } = app
  // Answers about keys depend on who asks, and new ones are secrets.
  app.addHook('onRequest', (_request, reply, done) => {
    reply.header('cache-control', 'no-store')
    done()
  })

  app.get('', {
    config: { scope: 'keys:read' },
    schema: {
      operationId: 'listApiKeys',
      summary: 'List API keys',
      description: 'Those that are revoked or expired stay listed for 90 days. Who is bound to namespaces sees the keys that are bound to some of the same.',
      tags,
      querystring: ApiKeyListQuery,
      response: { 200: ref(ApiKeyListReply) }
    }
  }, async (request, reply) => {
    const page = await apiKeys.list(request.principal, request.query)
    if (page.next_cursor !== undefined) {
      const parameters = new URLSearchParams({ ...request.query.limit !== undefined && { limit: `${request.query.limit}` }, ...request.query.order !== undefined && { order: request.query.order }, cursor: page.next_cursor })
      reply.header('link', `</keys?${parameters.toString()}>; rel="next"`)
    }
    return page
  })

  app.get('/:id', {
    config: { scope: 'keys:read' },
    schema: {
      operationId: 'getApiKey',
      summary: 'Read what an API key may do, and when it was used',
      tags,
      params: ApiKeyParams,
      response: { 200: ref(ApiKey), ...problems(404) }
    }
  }, async (request) => await apiKeys.get(request.principal, request.params.id))

  app.post('', {
    config: { scope: 'keys:write', audit: 'key.issue', idempotency: { isSecret: true } },
    schema: {
      operationId: 'createApiKey',
      summary: 'Create an API key',
      description: 'The answer shows the key, once. It can do nothing that its creator cannot: what is too much is 403.',
      tags,
      body: ref(NewApiKey),
      response: { 201: ref(IssuedApiKey), ...problems(409) }
    }
  }, async (request, reply) => {
    return reply.sendOutcome(outcomeOf(await apiKeys.within(reply.call).create(request.principal, request.body, request.recording(outcomeOf))))
  })

  app.post('/:id/rotate', {
    config: { scope: 'keys:write', audit: 'key.rotate', idempotency: { isSecret: true } },
    schema: {
      operationId: 'rotateApiKey',
      summary: 'Replace an API key by a new one with the same rights',
      description: 'The old key lives on for `overlap` seconds, so that its bearers can change over. Of one line at most two are live at a time.',
      tags,
      params: ApiKeyParams,
      body: ref(ApiKeyRotation),
      response: { 201: ref(IssuedApiKey), ...problems(404, 409) }
    },
    // Without a body everything is as by default.
    preValidation: async (request) => { request.body ??= {} }
  }, async (request, reply) => {
    return reply.sendOutcome(outcomeOf(await apiKeys.within(reply.call).rotate(request.principal, request.params.id, request.body, request.recording(outcomeOf))))
  })

  app.delete('/:id', {
    config: { scope: 'keys:delete', audit: 'key.revoke' },
    schema: {
      operationId: 'revokeApiKey',
      summary: 'Revoke an API key',
      description: 'It opens nothing from the answer on, and in every other process within a second. Revoking it again changes nothing.',
      tags,
      params: ApiKeyParams,
      response: { 200: ref(ApiKeyRevokedReply), ...problems(404) }
    }
  }, async (request, reply) => {
    await apiKeys.within(reply.call).revoke(request.principal, request.params.id)
    return { ok: true as const }
  })
}

export default keys
