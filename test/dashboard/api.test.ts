import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { Api } from '../../dashboard/api.js'
import type { StreamMessage, StreamState } from '../../dashboard/event-stream.js'
import { ProblemError } from '../../dashboard/problem-error.js'

async function serve (t: Test, answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

void t.test('a question carries the credential, its query and its body', async (t) => {
  const seen: { url: string | undefined, authorization: string | undefined, cacheControl: string | undefined, body: string }[] = []
  const origin = await serve(t, (request, response) => {
    let body = ''
    request.on('data', (part: Buffer) => { body += part.toString() }).on('end', () => {
      seen.push({ url: request.url, authorization: request.headers.authorization, cacheControl: request.headers['cache-control'], body })
      response.setHeader('content-type', 'application/json').end('{"ok":true}')
    })
  })
  const { body, status } = await new Api('a-credential', origin).ask('POST', '/api/cache/set', { query: { namespace: 'a&b', backend: undefined, none: '' }, body: { key: 'ü' } })
  t.strictSame([body, status], [{ ok: true }, 200])
  await new Api(undefined, origin).get('/health')
  t.strictSame(seen, [
    { url: '/api/cache/set?namespace=a%26b', authorization: 'Bearer a-credential', cacheControl: 'no-transform', body: '{"key":"ü"}' },
    { url: '/health', authorization: undefined, cacheControl: 'no-transform', body: '' }
  ], 'and does not ask to go past the service’s caches')
})

void t.test('an answer that is not one of success is an error in the service’s own words', async (t) => {
  const origin = await serve(t, (request, response) => {
    if (request.url === '/plain') response.writeHead(502, 'Bad Gateway').end('<h1>proxy</h1>')
    else {
      response.writeHead(429, { 'content-type': 'application/problem+json', 'retry-after': '7' })
        .end(JSON.stringify({ title: 'Too many requests', status: 429, detail: 'Wait.', instance: 'r-1', errors: [{ path: '/ttl', message: 'must be a number' }] }))
    }
  })
  const api = new Api(undefined, origin)
  await t.rejects(api.get('/problem'), { status: 429, title: 'Too many requests', detail: 'Wait.', retryAfter: 7, requestId: 'r-1', errors: [{ path: '/ttl' }] })
  const failure = async (failing: Promise<unknown>): Promise<unknown> => await failing.catch((error: unknown) => error)
  t.match(await failure(api.get('/plain')), { status: 502, title: 'Bad Gateway' })
  t.match(await failure(new Api(undefined, 'http://127.0.0.1:1').get('/')), { status: 0, title: 'The service cannot be reached' })
  const end = new AbortController()
  end.abort()
  t.notMatch(await failure(api.get('/', { signal: end.signal })), ProblemError, 'what was given up is no fault of the service')
})

void t.test('a stream that is cut off goes on where it was, and one that is not wanted ends', async (t) => {
  const resumed: (string | string[] | undefined)[] = []
  const origin = await serve(t, (request, response) => {
    if (request.url === '/forbidden') {
      response.writeHead(403, { 'content-type': 'application/problem+json' }).end('{"title":"Forbidden","status":403}')
      return
    }
    resumed.push(request.headers['last-event-id'])
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const id = resumed.length
    response.write(`id: ${id}\nevent: sample\ndata: {"n":${id}}\n\n`)
    if (id < 3) response.end()
  })
  const api = new Api('a-credential', origin)
  const messages: StreamMessage[] = []
  const states: StreamState[] = []
  await new Promise<void>((resolve) => {
    const close = api.stream('/stream', {
      onMessage: (message) => {
        messages.push(message)
        if (messages.length === 3) {
          close()
          resolve()
        }
      },
      onState: (state) => { states.push(state) }
    })
  })
  t.strictSame(messages, [1, 2, 3].map((n) => ({ event: 'sample', data: { n }, id: String(n) })))
  t.strictSame(resumed, [undefined, '1', '2'])
  t.strictSame(states, ['connecting', 'open', 'waiting', 'connecting', 'open', 'waiting', 'connecting', 'open'])
  const refused = await new Promise((resolve) => {
    api.stream('/forbidden', { onMessage: () => {}, onState: (state, error) => { if (state !== 'connecting') resolve([state, error?.status]) } })
  })
  t.strictSame(refused, ['refused', 403])
})
