import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type {} from '../plugins/webhooks.js'
import { Message, problems, ref } from '../schemas/common.js'
import {
  IssuedWebhook, NewWebhook, Webhook, WebhookChanges, WebhookDeliveriesQuery, WebhookDeliveriesReply, WebhookDeliveryParams, WebhookListReply, WebhookParams
} from '../schemas/webhooks.js'
import { InvalidInputError } from '../services/errors.js'
import { MAX_TYPE_PATTERNS } from '../services/events/feed.js'
import type { Webhook as StoredWebhook, WebhookDelivery } from '../services/webhooks/webhooks.js'

const tags = ['Events']

/** Events sent over HTTP. Prefix: `/webhooks`. */
const webhooks: FastifyPluginAsyncTypebox = async (app) => {
  const { webhooks } = app

  app.get('', {
    config: { scope: 'events:read', touches: 'everything' },
    schema: { operationId: 'listWebhooks', summary: 'List webhooks', tags, response: { 200: ref(WebhookListReply), ...problems(503) } }
  }, async () => ({ webhooks: (await webhooks.list()).map(webhookOf) }))

  app.post('', {
    config: { scope: 'events:write', touches: 'everything', audit: 'webhook.create', idempotency: { isSecret: true } },
    schema: {
      operationId: 'createWebhook',
      summary: 'Have events sent over HTTP',
      description: 'Each event is posted as it is, signed as Standard Webhooks 1.0.0 has it (`webhook-id`, `webhook-timestamp`, `webhook-signature`), until the receiver answers with 2xx: ten attempts over ' +
        'three days. 410 disables the webhook, and with `Retry-After` a receiver that is busy has itself left alone. An event may come more than once, under the same `webhook-id`, and later than one after it. ' +
        'Events of resources that the maker may not read are left out.',
      tags,
      body: ref(NewWebhook),
      response: { 201: ref(IssuedWebhook), ...problems(400, 409, 422, 503) }
    }
  }, async (request, reply) => {
    checkTypes(request.body.types)
    reply.header('cache-control', 'no-store')
    const made = (webhook: StoredWebhook & { secret: string }) => ({ status: 201, headers: { location: `/webhooks/${webhook.id}` }, body: issuedOf(webhook) })
    return reply.sendOutcome(made(await webhooks.within(reply.call).create(request.principal, request.body, request.recording(made))))
  })

  app.get('/:id', {
    config: { scope: 'events:read', touches: 'everything' },
    schema: { operationId: 'getWebhook', summary: 'Read a webhook', tags, params: WebhookParams, response: { 200: ref(Webhook), ...problems(400, 404, 503) } }
  }, async ({ params: { id } }) => webhookOf(await webhooks.get(id)))

  app.put('/:id', {
    config: { scope: 'events:write', touches: 'everything', audit: 'webhook.change' },
    schema: {
      operationId: 'changeWebhook',
      summary: 'Change, pause or resume a webhook',
      tags,
      params: WebhookParams,
      body: ref(WebhookChanges),
      response: { 200: ref(Webhook), ...problems(400, 404, 422, 503) }
    }
  }, async ({ params: { id }, body }, reply) => {
    checkTypes(body.types)
    return webhookOf(await webhooks.within(reply.call).change(id, body))
  })

  app.delete('/:id', {
    config: { scope: 'events:delete', touches: 'everything', audit: 'webhook.delete' },
    schema: { operationId: 'deleteWebhook', summary: 'Remove a webhook', description: 'What was still to be sent is not.', tags, params: WebhookParams, response: { 200: ref(Message), ...problems(400, 404, 503) } }
  }, async ({ params: { id } }, reply) => {
    await webhooks.within(reply.call).remove(id)
    return { message: 'Webhook removed' }
  })

  app.post('/:id/rotate', {
    config: { scope: 'events:write', touches: 'everything', audit: 'webhook.rotate', idempotency: { isSecret: true } },
    schema: {
      operationId: 'rotateWebhookSecret',
      summary: 'Give a webhook a new secret',
      description: 'The one before signs as well for a day, so that the receiver can change over.',
      tags,
      params: WebhookParams,
      response: { 200: ref(IssuedWebhook), ...problems(400, 404, 503) }
    }
  }, async (request, reply) => {
    reply.header('cache-control', 'no-store')
    const rotated = (webhook: StoredWebhook & { secret: string }) => ({ status: 200, body: issuedOf(webhook) })
    return reply.sendOutcome(rotated(await webhooks.within(reply.call).rotate(request.params.id, request.recording(rotated))))
  })

  app.get('/:id/deliveries', {
    config: { scope: 'events:read', touches: 'everything' },
    schema: {
      operationId: 'listWebhookDeliveries',
      summary: 'List what was sent, and what became of it',
      tags,
      params: WebhookParams,
      querystring: WebhookDeliveriesQuery,
      response: { 200: ref(WebhookDeliveriesReply), ...problems(400, 404, 503) }
    }
  }, async ({ params: { id }, query }, reply) => {
    const { limit = 100, cursor, state } = query
    const { deliveries, next_cursor: next } = await webhooks.deliveries(id, { limit, cursor, state })
    if (next !== undefined) reply.header('link', `<${app.prefix}/${id}/deliveries?limit=${limit}${state === undefined ? '' : `&state=${state}`}&cursor=${next}>; rel="next"`)
    return { deliveries: deliveries.map(deliveryOf), ...next !== undefined && { next_cursor: next } }
  })

  app.post('/:id/deliveries/:delivery/resend', {
    config: { scope: 'events:write', touches: 'everything', audit: 'webhook.resend' },
    schema: {
      operationId: 'resendWebhookDelivery',
      summary: 'Have an event sent again',
      description: 'From the first attempt on, whatever became of it.',
      tags,
      params: WebhookDeliveryParams,
      response: { 202: ref(Message), ...problems(400, 404, 503) }
    }
  }, async (request, reply) => {
    const accepted = { status: 202, body: { message: 'It is sent again' } }
    await webhooks.within(reply.call).resend(request.params.id, request.params.delivery, request.recording(() => accepted))
    return reply.sendOutcome(accepted)
  })
}

function checkTypes (types: string | null | undefined): void {
  if ((types?.split(',').length ?? 0) > MAX_TYPE_PATTERNS) throw new InvalidInputError(`types takes up to ${MAX_TYPE_PATTERNS} patterns: name fewer, or wider ones.`)
}

function webhookOf ({ id, url, types, description, state, reason, owner, createdAt, updatedAt }: StoredWebhook): Webhook {
  return { id, url, types, description, state, ...reason !== '' && { reason }, created_by: owner, created_at: createdAt.toISOString(), updated_at: updatedAt.toISOString() }
}

function issuedOf (webhook: StoredWebhook & { secret: string }): IssuedWebhook {
  return { ...webhookOf(webhook), secret: webhook.secret }
}

function deliveryOf ({ eventId, createdAt, triedAt, nextAttemptAt, ...rest }: WebhookDelivery) {
  return { ...rest, event_id: eventId, created_at: createdAt.toISOString(), tried_at: triedAt?.toISOString() ?? null, next_attempt_at: nextAttemptAt?.toISOString() ?? null }
}

export default webhooks
