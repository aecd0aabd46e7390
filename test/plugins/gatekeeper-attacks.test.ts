import { once } from 'node:events'
import { connect, type AddressInfo, type Socket } from 'node:net'
import t from 'tap'
import type { IssuedApiKey } from '../../schemas/keys.js'
import { bodyOf, openApp } from '../routes/sample-app.js'
import { databaseUrl } from '../support/servers.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const ADMINISTRATOR = 'the-administrators-own-key'
const MEGABYTE = 1024 * 1024

const app = await openApp(t, {
  DATABASE_URL: await databaseUrl(t), DATA_DIR: temporaryFolder(t), CACHE_AUTH_ENABLED: 'true', CACHE_API_KEY: ADMINISTRATOR, ALLOWED_ORIGINS: 'https://app.example'
})
await app.listen({ host: '127.0.0.1', port: 0 })
const { port } = app.server.address() as AddressInfo
const { key: reader } = bodyOf<IssuedApiKey>(await app.inject({ method: 'POST', url: '/keys', headers: { 'x-api-key': ADMINISTRATOR }, payload: { scopes: ['items:read'] } }))

interface Answer { status: number, head: string, body: string }

/** Sends the lines as they are, over a connection of its own: no client in between that would make them better. */
async function raw (line: string, headers: string[] = [], body = ''): Promise<Answer> {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => { text += chunk })
  socket.write(`${[line, 'Host: larder', 'Connection: close', ...headers].join('\r\n')}\r\n\r\n${body}`)
  await once(socket, 'close')
  const [head = '', ...rest] = text.split('\r\n\r\n')
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]), head, body: rest.join('\r\n\r\n') }
}

t.test('no spelling of a path gets by', async (t) => {
  const plain = await raw('GET /api/cache/export HTTP/1.1')
  t.equal(plain.status, 401)
  const spellings = [
    '//api/cache/export', '/api//cache/export', '/./api/cache/export', '/api/./cache/export', '/api/x/../cache/export', '/api/cache/../cache/export',
    '/%2e/api/cache/export', '/api/%2e%2e/api/cache/export', '/api%2fcache%2fexport', '/api%2Fcache/export', '/api/cache%2fexport', '/api/cache/%65xport',
    '/%61pi/cache/export', '/api/cache/export;x', '/api/cache/export;x=1', '/api/cache;x/export', '/api/cache/export/', '/api/cache/export//', '/API/cache/export',
    '/api/Cache/Export', '/api/cache/export#frag', '/api/cache/export%23', '/api/cache/export%00', '/api/cache/export%20', '/api/cache/export%3f', '/api\\cache\\export',
    '/api/cache/export?x=/health', '/health/../api/cache/export', '/health/live/../../api/cache/export', '/health/live;/../../api/cache/export', '/docs/../api/cache/export',
    '/assets/%2e%2e/api/cache/export', '/assets/..%2fapi/cache/export', '/docs/static/..%2f..%2fapi/cache/export', '/api/cache/export%2e', '/api/cache/export.json',
    `http://127.0.0.1:${port}/api/cache/export`, 'http://larder/api/cache/export', 'http://larder/health/live/../../api/cache/export', 'https://other/api/cache/export'
  ]
  for (const path of spellings) {
    for (const credential of [[], [`x-api-key: ${reader}`]]) {
      const { status, body } = await raw(`GET ${path} HTTP/1.1`, credential)
      const allowed = credential.length === 0 ? [400, 401, 404, 405, 414] : [400, 403, 404, 405, 414]
      t.ok(allowed.includes(status), `${path} with ${credential.length} credentials: ${status}`)
      t.notMatch(body, /"keys?":\s*\[|"entries"/)
    }
  }
})

t.test('no other method gets by', async (t) => {
  t.equal((await raw('HEAD /api/cache/keys HTTP/1.1')).status, 401)
  t.equal((await raw('HEAD /api/cache/keys HTTP/1.1', [`x-api-key: ${reader}`])).status, 403)
  for (const method of ['TRACE', 'PATCH', 'PUT', 'PROPFIND', 'get', 'FOO', 'CONNECT']) {
    const { status } = await raw(`${method} /api/cache/export HTTP/1.1`)
    t.ok([400, 401, 404, 405].includes(status) || Number.isNaN(status), `${method}: ${status}`)
  }
  for (const headers of [[], ['Origin: https://app.example', 'Access-Control-Request-Method: GET'], ['Origin: https://evil.example']]) {
    const preflight = await raw('OPTIONS /api/cache/export HTTP/1.1', headers)
    t.ok([204, 401, 404, 405].includes(preflight.status), 'a preflight carries no credential')
    if (preflight.status === 204) t.equal(preflight.body, '', 'and is answered with headers alone')
  }
})

t.test('no header changes who is asked for what', async (t) => {
  const headers = [
    'X-HTTP-Method-Override: GET', 'X-Method-Override: GET', 'X-HTTP-Method: OPTIONS', 'X-Original-URL: /health/live', 'X-Rewrite-URL: /health/live', 'X-Forwarded-Uri: /health/live',
    'X-Forwarded-Prefix: /health', 'X-Forwarded-Host: 127.0.0.1', 'X-Forwarded-For: 127.0.0.1', 'Forwarded: for=127.0.0.1', 'X-Real-IP: 127.0.0.1', 'X-Envoy-Original-Path: /health/live',
    'User-Agent: kube-probe/1.30', 'X-User-Id: administrator', 'X-User: administrator', 'X-Scopes: *', 'X_Api_Key: wrong', `x_api_key: ${ADMINISTRATOR}`, `x-api_key: ${ADMINISTRATOR}`,
    `X-API-KEY : ${ADMINISTRATOR}`, `api-key: ${ADMINISTRATOR}`, `Cookie: x-api-key=${ADMINISTRATOR}`, `Proxy-Authorization: Bearer ${ADMINISTRATOR}`, `Referer: http://x/?x-api-key=${ADMINISTRATOR}`,
    'Authorization: Basic YWRtaW5pc3RyYXRvcjp4', `Authorization: Basic ${Buffer.from(`x:${ADMINISTRATOR}`).toString('base64')}`, `Authorization: ${ADMINISTRATOR}`,
    'Content-Type: application/json;\tx', 'Content-Type: ', 'Range: bytes=0-', 'If-None-Match: *', 'Upgrade: h2c', 'Sec-Fetch-Site: same-origin'
  ]
  for (const header of headers) {
    const { status } = await raw('GET /api/cache/export HTTP/1.1', [header])
    t.ok([400, 401].includes(status), `${header}: ${status}`)
    // With a credential that permits to read items, writing one stays what it is.
    if (/authorization|key/i.test(header.split(':')[0]!)) continue
    const written = await raw('POST /items HTTP/1.1', [header, `x-api-key: ${reader}`])
    t.ok([400, 403].includes(written.status), `${header}: ${written.status}`)
  }
})

t.test('a credential comes once, and in one place', async (t) => {
  t.equal((await raw('GET /items HTTP/1.1', [`x-api-key: ${reader}`])).status, 200)
  const twice = [
    [`x-api-key: ${reader}`, `x-api-key: ${reader}`], [`x-api-key: ${reader}`, `X-Api-Key: ${ADMINISTRATOR}`], [`x-api-key: ${ADMINISTRATOR}`, 'x-api-key: '],
    [`x-api-key: ${reader}`, `Authorization: Bearer ${ADMINISTRATOR}`], [`Authorization: Bearer ${reader}`, `Authorization: Bearer ${ADMINISTRATOR}`],
    [`Authorization: Bearer ${reader}, Bearer ${ADMINISTRATOR}`], [`Authorization: Bearer ${reader} ${ADMINISTRATOR}`], [`Authorization: Bearer\t${reader}x`]
  ]
  for (const headers of twice) {
    const { status } = await raw('GET /items HTTP/1.1', headers)
    t.ok([400, 401].includes(status), `${headers.map((line) => line.slice(0, 22)).join(' + ')}: ${status}`)
  }
  for (const query of ['x-api-key', 'api_key', 'access_token', 'token']) {
    t.ok([400, 401].includes((await raw(`GET /items?${query}=${ADMINISTRATOR} HTTP/1.1`)).status), query)
  }
})

t.test('what is no route says no more to a stranger than to anybody', async (t) => {
  for (const credential of [[], [`x-api-key: ${reader}`], ['x-api-key: wrong'], [`x-api-key: ${ADMINISTRATOR}`]]) {
    t.equal((await raw('GET /nothing/here HTTP/1.1', credential)).status, 404)
  }
  for (const path of ['/docs', '/docs/json', '/redoc', '/openapi.json', '/openapi.yaml', '/', '/health', '/health/live', '/user']) {
    t.equal((await raw(`GET ${path} HTTP/1.1`)).status, 200, `${path} is public`)
    t.equal((await raw(`GET ${path} HTTP/1.1`, ['x-api-key: wrong'])).status, 401, 'but for who shows a credential that does not hold')
  }
})

t.test('a body is not read for who is turned away', async (t) => {
  const accepted = async (): Promise<{ client: Socket, server: Socket }> => {
    const arriving = once(app.server, 'connection')
    const client = connect(port, '127.0.0.1')
    const [server] = await arriving as [Socket]
    return { client, server }
  }
  const cases: [name: string, head: string[], status: number][] = [
    ['of a known length', [`Content-Length: ${10 * MEGABYTE}`], 401],
    ['in chunks', ['Transfer-Encoding: chunked'], 401],
    ['with a bad credential', [`Content-Length: ${10 * MEGABYTE}`, 'x-api-key: wrong'], 401],
    ['without the scope', [`Content-Length: ${10 * MEGABYTE}`, `x-api-key: ${reader}`], 403]
  ]
  const turnedAway = async ([name, head, status]: typeof cases[number], { client, server }: Awaited<ReturnType<typeof accepted>>): Promise<void> => {
    let text = ''
    client.setEncoding('latin1').on('data', (chunk: string) => { text += chunk })
    client.on('error', () => {}) // cut in the end
    const chunk = Buffer.alloc(MEGABYTE, ' ')
    const part = head[0]!.startsWith('Transfer') ? Buffer.concat([Buffer.from(`${MEGABYTE.toString(16)}\r\n`), chunk, Buffer.from('\r\n')]) : chunk
    client.write(['POST /api/cache/import HTTP/1.1', 'Host: larder', 'Content-Type: application/json', ...head, '\r\n'].join('\r\n'))
    for (let i = 0; i < 10; i++) client.write(part)
    await once(server, 'close')
    t.match(text, new RegExp(`^HTTP/1\\.1 ${status} `), `${name}: answered`)
    t.match(text, /\r\nconnection: close\r\n/i)
    t.match(text, /"status":40[13]/, 'to the end')
    t.ok(server.bytesRead < MEGABYTE, `${name}: ${server.bytesRead} of ${10 * MEGABYTE} bytes were taken`)
    client.destroy()
  }
  const done: Promise<void>[] = []
  for (const each of cases) done.push(turnedAway(each, await accepted()))
  await Promise.all(done)

  t.test('a small one is, and the connection stays', async (t) => {
    const { client } = await accepted()
    let text = ''
    client.setEncoding('latin1').on('data', (chunk: string) => { text += chunk })
    for (let i = 1; i <= 2; i++) {
      client.write('POST /items HTTP/1.1\r\nHost: larder\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"name":"me"}')
      while (text.split('HTTP/1.1 401').length <= i) await once(client, 'data')
    }
    t.notMatch(text, /connection: close/i)
    client.destroy()
  })
})
