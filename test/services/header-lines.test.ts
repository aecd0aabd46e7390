import { once } from 'node:events'
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { HeaderLines, setAnswerLines, setLimitLines } from '../../services/header-lines.js'

const CONSTANTS = { 'X-Frame-Options': 'DENY', 'referrer-policy': 'no-referrer' }
const LIMITS = 'ratelimit-policy: "per-minute";q=2\r\nratelimit: "per-minute";r=1;t=30\r\n'

/** The lines of an answer's head, below the status, that are not Node's own. */
async function linesOf (t: Test, answer: (response: ServerResponse) => void): Promise<string[]> {
  const lines = new HeaderLines(CONSTANTS)
  const server = createServer((_request, response) => {
    t.ok(lines.frame(response, 'id-1'))
    answer(response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  const asked = get({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, agent: false })
  const [answered] = await once(asked, 'response') as [IncomingMessage]
  await once(answered.resume(), 'end')
  const { rawHeaders } = answered
  const pairs = rawHeaders.flatMap((name, at) => at % 2 === 0 ? [`${name}: ${rawHeaders[at + 1]}`] : [])
  return pairs.filter((line) => !/^(?:date|connection|keep-alive|transfer-encoding|content-length):/i.test(line))
}

t.test('the lines stand in front of what the answer has itself', async (t) => {
  t.strictSame(await linesOf(t, (response) => {
    t.ok(setLimitLines(response, 'ratelimit: what was left before\r\n'))
    t.ok(setLimitLines(response, LIMITS))
    response.writeHead(200, { etag: '"1"' }).end('{}')
  }), ['x-request-id: id-1', 'X-Frame-Options: DENY', 'referrer-policy: no-referrer', 'ratelimit-policy: "per-minute";q=2', 'ratelimit: "per-minute";r=1;t=30', 'etag: "1"'])
})

t.test('an answer that turns into another one says nothing of the first', async (t) => {
  t.strictSame(await linesOf(t, (response) => {
    t.ok(setAnswerLines(response, 'etag: "1"\r\nage: 3\r\n'))
    t.ok(setAnswerLines(response, 'etag: "2"\r\n'))
    response.end()
  }), ['x-request-id: id-1', 'X-Frame-Options: DENY', 'referrer-policy: no-referrer', 'etag: "2"'])
})

t.test('without limits there is nothing about them', async (t) => {
  t.strictSame(await linesOf(t, (response) => { response.end() }), ['x-request-id: id-1', 'X-Frame-Options: DENY', 'referrer-policy: no-referrer'])
})

t.test('a header of the answer’s own takes the place of the line, however it is given', async (t) => {
  const answers: Record<string, (response: ServerResponse) => void> = {
    'all at once': (response) => { response.writeHead(200, { 'x-frame-options': 'SAMEORIGIN' }).end() },
    'names and values in turn': (response) => { response.writeHead(200, ['X-Frame-Options', 'SAMEORIGIN']).end() },
    'one by one': (response) => { response.setHeader('X-Frame-Options', 'SAMEORIGIN').end() }
  }
  for (const [how, answer] of Object.entries(answers)) {
    const lines = await linesOf(t, answer)
    t.strictSame(lines.map((line) => line.toLowerCase()), ['x-request-id: id-1', 'referrer-policy: no-referrer', 'x-frame-options: sameorigin'], how)
  }
})

t.test('a refusal that says itself what is left says it once', async (t) => {
  const lines = await linesOf(t, (response) => {
    setLimitLines(response, LIMITS)
    response.writeHead(429, { ratelimit: '"per-minute";r=0;t=30', 'ratelimit-policy': '"per-minute";q=2' }).end()
  })
  t.strictSame(lines.filter((line) => line.startsWith('ratelimit')), ['ratelimit: "per-minute";r=0;t=30', 'ratelimit-policy: "per-minute";q=2'])
})

t.test('what is no header is refused at the start, not by each answer', async (t) => {
  t.throws(() => new HeaderLines({ 'x-frame-options': 'DENY\r\nset-cookie: a=b' }), { code: 'ERR_INVALID_CHAR' })
  t.throws(() => new HeaderLines({ 'x frame': 'DENY' }), { code: 'ERR_INVALID_HTTP_TOKEN' })
})
