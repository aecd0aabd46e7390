import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import type { IssuedWebhook, Webhook, WebhookDeliveriesReply } from '../../schemas/webhooks.js'
import { eventually as poll } from '../support/caches.js'
import { databaseUrl } from '../support/servers.js'
import { temporaryFolder } from '../support/temporary-folder.js'
import { bodyOf, openApp, sender } from './sample-app.js'

const eventually = async (holds: () => Promise<boolean> | boolean, what: string): Promise<void> => { await poll(holds, what, 20_000) }

interface Message { headers: IncomingHttpHeaders, body: string }

/** Answers as it is told, 204 by default, and keeps what it got. */
async function receiver (t: Test) {
  const messages: Message[] = []
  const answers: { status: number, headers?: Record<string, string> }[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (part: Buffer) => { body += part.toString() }).on('end', () => {
      messages.push({ headers: request.headers, body })
      const { status, headers = {} } = answers.shift() ?? { status: 204 }
      response.writeHead(status, headers).end()
    })
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => { server.once('listening', resolve) })
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return { messages, answers, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook` }
}

/** As a receiver does it that knows nothing but the specification. */
function isSigned ({ headers, body }: Message, secret: string): boolean {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
  const expected = createHmac('sha256', key).update(`${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`).digest()
  return String(headers['webhook-signature']).split(' ').some((each) => {
    const given = Buffer.from(each.slice('v1,'.length), 'base64')
    return given.length === expected.length && timingSafeEqual(given, expected)
  })
}

void t.test('events sent over HTTP', async (t) => {
  const app = await openApp(t, { DATABASE_URL: await databaseUrl(t), DATA_DIR: temporaryFolder(t), WEBHOOK_ADDRESSES: '127.0.0.1', WEBHOOK_HOSTS: 'localhost' })
  const send = sender(app)
  const make = async (body: object): Promise<IssuedWebhook> => bodyOf(await send('POST /webhooks', body))
  const deliveries = async (id: string, query = ''): Promise<WebhookDeliveriesReply['deliveries']> => bodyOf<WebhookDeliveriesReply>(await send(`GET /webhooks/${id}/deliveries${query}`)).deliveries
  const remove = async (id: string): Promise<void> => { t.equal((await send(`DELETE /webhooks/${id}`)).statusCode, 200) }
  /** As if the time of the next attempt had come. */
  const hurry = async (): Promise<void> => {
    await app.database.query("UPDATE webhook_deliveries SET next_attempt_at = now() WHERE state = 'pending' AND next_attempt_at > now() + interval '2 seconds' AND attempts > 0")
  }

  await t.test('an event arrives as it is, signed, once, and of the types that were asked for', async (t) => {
    const { url, messages } = await receiver(t)
    const { id, secret } = await make({ url, types: 'product.*,kitchen.opened' })
    await send('POST /items', { name: 'not asked for' })
    await send('POST /events', { channel: 'kitchen', event: { type: 'opened', by: 'Alice' } })
    await send('POST /products', { name: 'Leek', price: 1.2, category: 'Vegetables' })
    await eventually(() => messages.length >= 2, 'both arrive')
    t.strictSame(messages.map(({ body }) => (JSON.parse(body) as { type: string }).type).sort(), ['kitchen.opened', 'product.created'])
    for (const message of messages) {
      t.ok(isSigned(message, secret))
      t.notOk(isSigned({ ...message, body: message.body.replace('Leek', 'Leak').replace('Alice', 'Mallory') }, secret), 'and nothing else is')
      const event = JSON.parse(message.body) as { id: string, specversion: string }
      t.match(event, { specversion: '1.0' })
      t.equal(message.headers['webhook-id'], event.id)
      t.ok(Math.abs(Number(message.headers['webhook-timestamp']) - Date.now() / 1000) < 60)
      t.equal(message.headers['content-type'], 'application/json')
    }
    await eventually(async () => (await deliveries(id, '?state=delivered')).length === 2, 'both are noted as delivered')
    const shown = bodyOf<Webhook>(await send(`GET /webhooks/${id}`))
    t.match(shown, { id, url, state: 'active', created_by: 'local' })
    t.notMatch(JSON.stringify([shown, bodyOf(await send('GET /webhooks'))]), /whsec_/, 'the secret is not shown again')
    const { rows } = await app.database.query<{ secret: Buffer }>('SELECT secret FROM webhooks')
    t.notMatch(rows.map((row) => row.secret.toString('latin1')).join(), secret.slice(6, 20), 'nor stored as it is')
    await remove(id)
  })

  await t.test('what fails is sent again under the same id, and given up after the last attempt', async (t) => {
    const { url, messages, answers } = await receiver(t)
    const { id } = await make({ url })
    answers.push({ status: 500 }, { status: 302, headers: { location: `${url}/elsewhere` } }, { status: 204 })
    await send('POST /events', { channel: 'kitchen', event: { type: 'first' } })
    for (const count of [1, 2]) {
      await eventually(async () => messages.length === count && (await deliveries(id))[0]?.attempts === count && (await deliveries(id))[0]?.error !== null, `attempt ${count} is noted`)
      const [delivery] = await deliveries(id)
      t.match(delivery, { state: 'pending', status: count === 1 ? 500 : 302, error: /The receiver answered with/ })
      t.ok(Date.parse(String(delivery?.next_attempt_at)) - Date.now() > [3000, 200_000][count - 1]!, 'the pauses grow')
      await hurry()
    }
    await eventually(async () => (await deliveries(id))[0]?.state === 'delivered', 'it arrives in the end')
    t.equal(new Set(messages.map(({ headers }) => headers['webhook-id'])).size, 1)
    t.ok(messages.every(({ body }) => body === messages[0]?.body))

    answers.push(...Array.from({ length: 10 }, () => ({ status: 400 })))
    await send('POST /events', { channel: 'kitchen', event: { type: 'second' } })
    await eventually(async () => {
      await hurry()
      return (await deliveries(id, '?state=failed')).length === 1
    }, 'it is given up')
    t.match((await deliveries(id))[0], { type: 'kitchen.second', attempts: 10, status: 400, next_attempt_at: null })
    const before = messages.length
    t.equal((await send(`POST /webhooks/${id}/deliveries/${(await deliveries(id))[0]!.id}/resend`)).statusCode, 202)
    await eventually(async () => messages.length > before && (await deliveries(id))[0]?.state === 'delivered', 'a person has it sent again')
    await remove(id)
  })

  await t.test('a receiver that is busy is left alone as long as it asks, and one that is gone for good', async (t) => {
    const { url, messages, answers } = await receiver(t)
    const { id } = await make({ url })
    answers.push({ status: 429, headers: { 'retry-after': '3600' } })
    await send('POST /events', { channel: 'kitchen', event: { type: 'first' } })
    await eventually(async () => (await deliveries(id))[0]?.status === 429, 'it is noted')
    t.ok(Date.parse(String((await deliveries(id))[0]?.next_attempt_at)) - Date.now() > 3_500_000)
    await send('POST /events', { channel: 'kitchen', event: { type: 'second' } })
    await eventually(async () => (await deliveries(id)).length === 2, 'the second is noted')
    await new Promise((resolve) => { setTimeout(resolve, 1200) })
    t.equal(messages.length, 1, 'others wait, too')

    answers.push({ status: 410 })
    await send(`PUT /webhooks/${id}`, { state: 'active' })
    await eventually(async () => bodyOf<Webhook>(await send(`GET /webhooks/${id}`)).state === 'disabled', 'it is disabled')
    t.match(bodyOf<Webhook>(await send(`GET /webhooks/${id}`)), { reason: /410/ })
    await remove(id)
  })

  await t.test('with a new secret the old one signs as well for a while', async (t) => {
    const { url, messages } = await receiver(t)
    const { id, secret } = await make({ url })
    const rotated = bodyOf<IssuedWebhook>(await send(`POST /webhooks/${id}/rotate`))
    t.not(rotated.secret, secret)
    await send('POST /events', { channel: 'kitchen', event: { type: 'opened' } })
    await eventually(() => messages.length === 1, 'it arrives')
    t.ok(isSigned(messages[0]!, secret))
    t.ok(isSigned(messages[0]!, rotated.secret))
    await app.database.query("UPDATE webhooks SET previous_until = now() - interval '1 second'")
    await send('POST /events', { channel: 'kitchen', event: { type: 'closed' } })
    await eventually(() => messages.length === 2, 'it arrives')
    t.notOk(isSigned(messages[1]!, secret))
    t.ok(isSigned(messages[1]!, rotated.secret))
    await remove(id)
  })

  await t.test('it tells what its maker may know, and ends with their key', async (t) => {
    const { url, messages } = await receiver(t)
    const { key, id: keyId } = bodyOf<{ key: string, id: string }>(await send('POST /keys', { scopes: ['events:*', 'items:read'] }))
    const made = await app.inject({ method: 'POST', url: '/webhooks', headers: { 'x-api-key': key }, payload: { url } })
    const { id } = made.json<IssuedWebhook>()
    await send('POST /products', { name: 'Chard', price: 2, category: 'Vegetables' })
    await send('POST /items', { name: 'known' })
    await eventually(async () => (await deliveries(id, '?state=delivered')).length === 1, 'one arrives')
    t.strictSame((await deliveries(id)).map(({ type }) => type), ['item.created'])
    t.equal((await send(`DELETE /keys/${keyId}`)).statusCode, 200)
    await send('POST /items', { name: 'unknown' })
    await eventually(async () => bodyOf<Webhook>(await send(`GET /webhooks/${id}`)).state === 'disabled', 'it is disabled')
    t.equal(messages.length, 1)
    const { token } = bodyOf<{ token: string }>(await send('POST /valet/token', { scopes: ['events:write'] }))
    t.equal((await app.inject({ method: 'POST', url: '/webhooks', headers: { authorization: `Bearer ${token}` }, payload: { url } })).statusCode, 403, 'a valet key makes none')
    await remove(id)
  })

  await t.test('addresses that may not be called are refused, and so are names that lead there', async (t) => {
    const { url, messages } = await receiver(t)
    for (const address of ['http://2130706434:1/', 'http://10.0.0.1/', 'https://example.com/', 'https://user:secret@localhost/', url.replace('127.0.0.1', '127.0.0.2')]) {
      const reply = await send('POST /webhooks', { url: address })
      t.equal(reply.statusCode, 422, address)
      t.notMatch(reply.body, /secret@/)
    }
    t.equal((await send('POST /webhooks', { url: 'no url' })).statusCode, 422)
    t.equal((await send('POST /webhooks', { url, types: Array.from({ length: 100 }, (_, index) => `a${index}`).join(',') })).statusCode, 400)
    t.equal(messages.length, 0)
  })

  await t.test('what there is not is 404', async (t) => {
    const none = '00000000-0000-4000-8000-000000000000'
    for (const request of [`GET /webhooks/${none}`, `DELETE /webhooks/${none}`, `GET /webhooks/${none}/deliveries`, `POST /webhooks/${none}/rotate`, `POST /webhooks/${none}/deliveries/1/resend`]) {
      t.equal((await send(request)).statusCode, 404, request)
    }
    t.equal((await send(`PUT /webhooks/${none}`, { state: 'paused' })).statusCode, 404)
    t.equal((await send(`PUT /webhooks/${none}`, {})).statusCode, 400)
  })
})

void t.test('where nobody may be called a webhook is refused with what to set', async (t) => {
  const app = await openApp(t, { DATABASE_URL: await databaseUrl(t), DATA_DIR: temporaryFolder(t) })
  t.match(bodyOf(await sender(app)('POST /webhooks', { url: 'https://example.com/' })), { status: 422, detail: /WEBHOOK_HOSTS/ })
})
