import { connect, type AddressInfo } from 'node:net'
import { METHODS, request as httpRequest, type IncomingMessage } from 'node:http'
import type { FastifyInstance, InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { buildApp } from '../app.js'
import { loadConfig } from '../config.js'
import type { Problem } from '../schemas/common.js'
import { bare } from './plugins/bare.js'
import { databaseUrl } from './support/servers.js'
import { temporaryFolder } from './support/temporary-folder.js'
import { UNLIMITED } from './support/unlimited.js'

const url = await databaseUrl(t)
const app = await buildApp(loadConfig({ DATABASE_URL: url, DATA_DIR: temporaryFolder(t), SAMPLE_DATA: 'true', LOG_LEVEL: 'silent', CACHE_ACCESS_LOG_ENABLED: 'false', ...UNLIMITED }))
// Repeats what it got, as a route without a schema might: recursion, if any, happens here.
app.post('/echo', { config: { scope: 'public' }, schema: { body: {} } }, async (request, reply) => reply.send({ body: request.body ?? null }))
const address = await app.listen({ host: '127.0.0.1', port: 0 })
t.teardown(() => app.close())

const JSON_TYPE = { 'content-type': 'application/json' }
const SET = '/api/cache/set'

/** The answer is a problem, complete and without innards. */
function isProblem (t: Test, response: { statusCode: number, headers: Record<string, unknown>, body: string }, status: number, what: string) {
  t.equal(response.statusCode, status, what)
  t.equal(response.headers['content-type'], 'application/problem+json; charset=utf-8', what)
  t.match(response.headers['x-request-id'], /^[A-Za-z0-9_-]{1,64}$/)
  const problem = JSON.parse(response.body) as Problem
  t.match(problem, { type: /^\/problems\/[a-z-]+$/, title: /^[A-Z][A-Za-z ]+$/, status, detail: /\w/ }, what)
  t.equal(problem.instance, response.headers['x-request-id'])
  t.notMatch(response.body, /node_modules|\bat \w+ \(|SELECT|postgres:\/\//)
}

const inject = (method: string, url: string, payload?: string | Buffer, headers: Record<string, string> = JSON_TYPE) =>
  app.inject({ method, url, payload, headers: payload === undefined && headers === JSON_TYPE ? {} : headers } as InjectOptions)

/** The same request over a connection of its own. */
function send (method: string, path: string, payload?: string | Buffer, headers: Record<string, string | string[]> = JSON_TYPE) {
  return new Promise<{ statusCode: number, headers: IncomingMessage['headers'], body: string }>((resolve, reject) => {
    const request = httpRequest(address + path, { method, agent: false, headers: { ...headers, ...payload === undefined ? {} : { 'content-length': Buffer.byteLength(payload) } } })
    request.on('error', reject)
    request.on('response', (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text: string) => { body += text })
      response.on('end', () => resolve({ statusCode: response.statusCode ?? 0, headers: response.headers, body }))
    })
    request.end(payload)
  })
}

const both = [['inject', inject], ['a connection', send]] as const

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
const nestedObjects = (depth: number) => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth)

for (const [way, ask] of both) {
  t.test(`bodies over ${way}`, async (t) => {
    const refused: [status: number, what: string, body: string | Buffer, headers?: Record<string, string>][] = [
      [400, 'cut off', '{"key":"a"'],
      [400, 'no JSON', 'key=a'],
      [400, 'a NUL', '\0'],
      [400, 'two values', '{} {}'],
      [400, 'bad UTF-8 in a string', Buffer.from([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0xfe, 0x22, 0x7d])],
      [400, 'UTF-8 cut off', Buffer.from([0x22, 0xe2, 0x98, 0x22])],
      [400, 'UTF-16', Buffer.from('{"a":1}', 'utf16le')],
      [400, 'a prototype', '{"__proto__":{"admin":true}}'],
      [400, 'a prototype, escaped', '{"\\u005f_proto__":{"admin":true}}'],
      [400, 'a prototype, deep down', '{"a":[{"__proto__":null}]}'],
      [400, 'the prototype of a constructor', '{"constructor":{"prototype":{}}}'],
      [400, '65 arrays in each other', nested(65)],
      [400, '65 objects in each other', nestedObjects(65)],
      [400, '6000 arrays in each other', nested(6000)],
      [400, '100 000 arrays in each other', nested(100_000)],
      [400, '500 000 brackets that nothing closes', '['.repeat(500_000)],
      [400, 'depth behind a string of brackets', `["]]]]",${nested(64)}]`],
      [415, 'plain text', 'hello', { 'content-type': 'text/plain' }],
      [415, 'a form', 'a=1', { 'content-type': 'application/x-www-form-urlencoded' }],
      [415, 'XML', '<a/>', { 'content-type': 'application/xml' }],
      [415, 'something like JSON', '{}', { 'content-type': 'application/jsonp' }],
      [415, 'nonsense', '{}', { 'content-type': 'json' }],
      [415, 'nothing said', '{}', {}],
      [415, 'compressed', '{}', { ...JSON_TYPE, 'content-encoding': 'gzip' }]
    ]
    for (const [status, what, body, headers] of refused) isProblem(t, await ask('POST', '/echo', body, headers), status, what)
    for (const body of [nested(64), nestedObjects(64), '{"constructor":1,"prototype":2}', JSON.stringify('['.repeat(1000)), '"\\"["', '  1 ', 'null', '"\u2028"']) {
      const { statusCode, body: answer } = await ask('POST', '/echo', body)
      t.equal(statusCode, 200, `${body.length} characters`)
      t.strictSame(JSON.parse(answer), { body: JSON.parse(body) as unknown })
    }
    t.equal((await ask('POST', '/echo', '{}', { 'content-type': 'application/json; charset=utf-8' })).statusCode, 200)
  })

  t.test(`a body that is too large over ${way}`, async (t) => {
    const large = JSON.stringify({ key: 'a', value: 'x'.repeat(10 * 1024 * 1024) })
    for (const path of ['/echo', SET, '/echo', SET]) {
      const answer = await ask('POST', path, large)
      isProblem(t, answer, 413, path)
      t.match(JSON.parse(answer.body), { detail: /larger than the 1048576 bytes/ })
    }
  })

  t.test(`an empty body over ${way}`, async (t) => {
    isProblem(t, await ask('POST', SET, '', JSON_TYPE), 400, 'where one is needed')
    t.equal((await ask('DELETE', '/api/cache/delete/none', '', JSON_TYPE)).statusCode, 200, 'a JSON content type alone does not ask for a body')
    t.equal((await ask('POST', '/echo', '', JSON_TYPE)).statusCode, 200)
  })

  t.test(`values of wrong types and unknown fields over ${way}`, async (t) => {
    for (const body of [
      'null', '1', '"text"', '[]', '{}', '{"key":1,"value":1}', '{"key":"a","value":1,"ttl":null}', '{"key":"a","value":1,"ttl":"60"}',
      '{"key":"a","value":1,"ttl":true}', '{"key":"a","value":1,"ttl":-1}', '{"key":"a","value":1,"ttl":1e999}', '{"key":"a","value":1,"colour":"red"}',
      '{"key":"a"}', '{"key":["a"],"value":1}', '{"key":"a","value":1,"metadata":{"tags":"t"}}', '{"key":"a","value":1,"backend":"disk"}',
      '{"key":"","value":1}', '{"key":"a\\r\\nb","value":1}', '{"key":"a\\u0000b","value":1}'
    ]) isProblem(t, await ask('POST', SET, body), 400, body)
    const { errors } = JSON.parse((await ask('POST', SET, '{"key":"a","value":1,"colour":"red"}')).body) as Problem
    t.match(errors, [{ path: 'body/colour' }], 'the field is named')
  })

  t.test(`addresses over ${way}`, async (t) => {
    const long = 'a'.repeat(1100)
    for (const [status, method, path] of [
      [400, 'GET', '/user/%zz'], [400, 'GET', '/user/%ff'], [400, 'GET', '/user/%c0%af'], [400, 'GET', '/%'], [400, 'GET', '/user?name=%zz'],
      [400, 'GET', '/user?nmae=a'], [400, 'GET', '/?a'], [400, 'GET', '/health?a=1'], [400, 'GET', '/api/cache/stats?__proto__=1'],
      [400, 'GET', '/api/cache/keys?limit=0'], [400, 'GET', '/api/cache/keys?limit=1001'], [400, 'GET', '/api/cache/keys?limit=ten'],
      [400, 'GET', '/api/cache/keys?limit=1&limit=2'], [400, 'GET', '/products/abc'], [400, 'GET', `/api/cache/get/${'a'.repeat(251)}`],
      [400, 'GET', '/api/cache/get/a%00b'], [400, 'GET', '/api/cache/get/a%0d%0ab'],
      [404, 'GET', '/nothing'], [404, 'POST', '/../../etc/passwd'], [404, 'GET', '/assets/..%2f..%2fpackage.json'], [404, 'GET', '/__proto__'],
      [405, 'PUT', '/api/cache/stats'], [405, 'DELETE', '/'], [405, 'PATCH', '/products/1'], [405, 'OPTIONS', '/items'], [405, 'TRACE', '/items'],
      [414, 'GET', `/user/${long}`]
    ] as const) {
      const response = await ask(method, path, undefined, {})
      isProblem(t, response, status, `${method} ${path.slice(0, 50)}`)
      t.equal(response.headers.allow !== undefined, status === 405, 'Allow comes with 405')
    }
    t.equal((await ask('GET', `/api/cache/get/${'a'.repeat(250)}`, undefined, {})).statusCode, 200)
    const head = await ask('HEAD', '/nothing', undefined, {})
    t.equal(head.statusCode, 404)
    t.equal(head.body, '')
  })

  t.test(`methods that nothing takes over ${way}`, async (t) => {
    const taken = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT'])
    const bodies: [what: string, body: string | undefined, headers: Record<string, string>][] = [
      ['nothing', undefined, {}], ['a type alone', undefined, JSON_TYPE], ['JSON', '{"a":1}', JSON_TYPE], ['JSON that is cut off', '{', JSON_TYPE],
      ['text', 'hello', { 'content-type': 'text/plain' }], ['a body without a type', 'hello', {}], ['no type at all', undefined, { 'content-type': '?' }]
    ]
    const paths: [path: string, allow: string | undefined][] = [
      ['/', 'GET, HEAD'], [SET, 'POST'], ['/api/cache/get/a?namespace=b', 'GET, HEAD'], ['/products/1/', 'DELETE, GET, HEAD, PUT'], ['/nothing', undefined], ['/api/cache', undefined]
    ]
    for (const [path, allow] of paths) {
      for (const [what, body, headers] of bodies) {
        const answers = await Promise.all(METHODS.filter((method) => !taken.has(method)).map(async (method) => {
          const { statusCode, headers: { allow, 'content-type': type } } = await ask(method, path, body, headers)
          return [method, statusCode, String(allow).split(', ').sort().join(', '), type]
        }))
        const expected = answers.map(([method]) => [method, allow === undefined ? 404 : 405, String(allow), 'application/problem+json; charset=utf-8'])
        t.strictSame(answers, expected, `${path} with ${what}`)
      }
    }
    isProblem(t, await ask('POST', '/api/cache/stats', '{'), 405, 'a method that another path takes, with a body that nobody reads')
    isProblem(t, await ask('POST', '/nothing', 'x'.repeat(2_000_000)), 404, 'nor is one read that is too large for any path')
  })

  t.test(`a body where none is taken over ${way}`, async (t) => {
    for (const [method, path] of [['DELETE', '/api/cache/delete/none'], ['DELETE', '/items/6c84fb90-12c4-11e1-840d-7b25c5ee775a'], ['POST', '/api/cache/clear'], ['POST', '/cache/clear']] as const) {
      const refused = await ask(method, path, '{"namespace":"other","pattern":"x*"}')
      isProblem(t, refused, 400, `${method} ${path}`)
      t.match(JSON.parse(refused.body), { detail: /^body\/namespace is not taken here: .*query/, errors: [{ path: 'body/namespace' }, { path: 'body/pattern' }] })
      for (const body of ['"x"', '[1]', '7', 'false']) isProblem(t, await ask(method, path, body), 400, `${method} ${path} ${body}`)
      isProblem(t, await ask(method, path, 'x', { 'content-type': 'text/plain' }), 415, 'text')
      const { statusCode } = await ask(method, path)
      for (const [body, type] of [['', 'application/json'], [undefined, 'application/json; charset=utf-8'], ['', 'application/x-www-form-urlencoded'], [undefined, 'text/plain'], ['{}', 'application/json'], ['null', 'application/json']] as const) {
        t.equal((await ask(method, path, body, { 'content-type': type })).statusCode, statusCode, `${method} ${path} with ${body ?? 'nothing'} of ${type} is as without`)
      }
    }
    isProblem(t, await ask('GET', '/api/cache/get/none', '{"namespace":"other"}'), 400, 'GET')
    isProblem(t, await ask('GET', '/health', 'x', { 'content-type': 'text/plain' }), 400, 'whatever it is')
    t.equal((await ask('GET', '/api/cache/get/none', '', JSON_TYPE)).statusCode, 200)
    t.equal((await ask('GET', '/api/cache/get/none', undefined, { ...JSON_TYPE })).statusCode, 200)
  })

  t.test(`names that JavaScript knows over ${way}`, async (t) => {
    for (const name of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty']) {
      t.equal((await ask('GET', `/user/${name}`, undefined, {})).body, JSON.stringify({ message: `Hello, ${name}!` }))
      const set = await ask('POST', SET, JSON.stringify({ key: name, value: name, namespace: name, metadata: { tags: [name] } }))
      t.equal(set.statusCode, 200, set.body)
      const { cache_item: item } = JSON.parse((await ask('GET', `/api/cache/get/${name}?namespace=${name}`, undefined, {})).body) as { cache_item: { value: unknown } }
      t.equal(item.value, name)
    }
    t.equal(({} as { admin?: unknown }).admin, undefined)
  })
}

t.test('a key of every printable character is one key', async (t) => {
  for (let code = 0x20; code <= 0x7e; code++) {
    const key = `a${String.fromCharCode(code)}b`
    t.equal((await inject('POST', SET, JSON.stringify({ key, value: code }))).statusCode, 200, key)
    const { cache_item: item } = (await inject('GET', `/api/cache/get/${encodeURIComponent(key)}`)).json<{ cache_item: { key: string, value: number } }>()
    t.strictSame([item.key, item.value], [key, code])
  }
})

t.test('no operation answers hostile values with a fault of its own', async (t) => {
  interface Parameter { name: string, in: string }
  interface Operation { parameters?: Parameter[], requestBody?: object }
  const { paths } = (await inject('GET', '/openapi.json')).json<{ paths: Record<string, Record<string, Operation>> }>()
  const values = ['\0', '\r\nx: y', "'; drop table items; --", '😀'.repeat(60), '\ud7ff\ue000', '-1', '1e400', '9007199254740993', 'NaN', '[', '*'.repeat(60),
    '{"$ne":1}', '../../etc/passwd', '%', '\\', '"', '00000000-0000-0000-0000-000000000000', '2147483648', '']
  const bodies = ['null', '[]', '{}', '"x"', '0', '[null]', '[[]]', '[{}]', '{"key":{},"value":{}}', '{"id":"x"}', '{"name":1e308,"price":-0}', nested(64),
    JSON.stringify({ key: 'a', value: 1, ttl: 1e308 }), JSON.stringify({ name: '\0', title: '\0' }), JSON.stringify({ '\ud800': '\udfff' }),
    JSON.stringify({ name: '\ud800', category: 'a', price: 1 }), JSON.stringify({ pattern: '*a'.repeat(100) }), JSON.stringify({ tags: ['\0'] })]
  const faults: string[] = []
  let asked = 0
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, { parameters = [], requestBody }] of Object.entries(operations)) {
      const withParameters = values.map((value) => {
        const query = parameters.filter((one) => one.in === 'query').map(({ name }) => `${name}=${encodeURIComponent(value)}`).join('&')
        return path.replaceAll(/\{\w+\}/g, () => encodeURIComponent(value)) + (query === '' ? '' : `?${query}`)
      })
      const alone = parameters.filter((one) => one.in === 'query').map(({ name }) => `${path.replaceAll(/\{\w+\}/g, 'a')}?${name}=1e400`)
      const requests = parameters.length === 0 ? [] : [...withParameters, ...alone].map((url): [string, string?] => [url, requestBody && '{}'])
      if (requestBody !== undefined) for (const body of bodies) requests.push([path.replaceAll(/\{\w+\}/g, '1'), body])
      for (const [url, body] of requests) {
        // A stream of events would never end.
        const accept = { accept: 'application/json' }
        const response = await inject(method.toUpperCase(), url, body, body === undefined ? accept : { ...JSON_TYPE, ...accept })
        asked++
        const problem = response.statusCode >= 400 ? response.json<Problem>() : undefined
        const sound = problem === undefined || (problem.status === response.statusCode && problem.instance === response.headers['x-request-id'])
        if (response.statusCode >= 500 || !sound) faults.push(`${method} ${url} ${body ?? ''}: ${response.statusCode} ${response.body}`)
      }
    }
  }
  t.strictSame(faults, [])
  t.ok(asked > 500, `${asked} requests were made`)
})

/** What a server says to these bytes, until it closes the connection. */
function raw (to: FastifyInstance, ...parts: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect((to.server.address() as AddressInfo).port, '127.0.0.1')
    let text = ''
    socket.setEncoding('latin1').on('data', (more: string) => { text += more })
    socket.on('error', reject).on('close', () => resolve(text))
    for (const part of parts) socket.write(part, 'latin1')
  })
}

function parse (text: string): { statusCode: number, headers: Record<string, string>, body: string } {
  const [head = '', ...body] = text.split('\r\n\r\n')
  const [line = '', ...fields] = head.split('\r\n')
  const headers = Object.fromEntries(fields.map((field) => [field.slice(0, field.indexOf(':')).toLowerCase(), field.slice(field.indexOf(':') + 1).trim()]))
  return { statusCode: Number(line.split(' ')[1]), headers, body: body.join('\r\n\r\n') }
}

t.test('what is not HTTP gets a problem all the same', async (t) => {
  for (const [status, what, text] of [
    [400, 'nonsense', 'hello\r\n\r\n'],
    [400, 'a method that is none', 'FOO / HTTP/1.1\r\nHost: a\r\n\r\n'],
    [400, 'a method of proxies', 'CONNECT larder:443 HTTP/1.1\r\nHost: larder:443\r\n\r\n'],
    [400, 'two Hosts', 'GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n'],
    [400, 'two credentials', 'GET /health/live HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nauthorization: Bearer b\r\nConnection: close\r\n\r\n'],
    [400, 'two lengths', 'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}'],
    [400, 'a length and chunks', 'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    [400, 'a length that is no number', 'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: two\r\n\r\n{}'],
    [400, 'a chunk of no size', 'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n'],
    [400, 'bare line feeds', 'GET /health/live HTTP/1.1\nHost: a\n\n'],
    [400, 'a header with a NUL', 'GET /health/live HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n'],
    [400, 'a folded header', 'GET /health/live HTTP/1.1\r\nHost : a\r\n\r\n'],
    [417, 'an expectation that nobody meets', 'GET /health/live HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nConnection: close\r\n\r\n'],
    [431, 'large headers', `GET /health/live HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`],
    [431, 'a large address', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`]
  ] as const) {
    const answer = parse(await raw(app, text))
    isProblem(t, answer, status, what)
    t.equal(answer.headers.connection, 'close')
  }
})

t.test('the id of a caller never breaks a header', async (t) => {
  const { headers } = parse(await raw(app, 'GET /health/live HTTP/1.1\r\nHost: a\r\nX-Request-Id: a b\xff"\r\nConnection: close\r\n\r\n'))
  t.match(headers['x-request-id'], /^[\w-]+$/)
})

t.test('an answer in progress is not followed by a second one', async (t) => {
  const text = await raw(app, 'GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n', 'nonsense\r\n\r\n')
  t.equal(text.match(/HTTP\/1\.1 200/g)?.length, 1)
  t.ok((text.match(/HTTP\/1\.1 400/g)?.length ?? 0) <= 1)
})

t.test('a request of HTTP/1.1 names its host', async (t) => {
  const strict = await bare()
  await strict.listen({ host: '127.0.0.1', port: 0 })
  isProblem(t, parse(await raw(strict, 'GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n')), 400, 'no Host')
  t.equal(parse(await raw(strict, 'GET /health/live HTTP/1.0\r\n\r\n')).statusCode, 200, 'an older one need not')
  await strict.close()
})

t.test('who sends too slowly is told so', async (t) => {
  const impatient = await bare()
  impatient.post('/echo', { config: { scope: 'public' }, schema: { body: {} } }, async ({ body }) => ({ body }))
  await impatient.listen({ host: '127.0.0.1', port: 0 })
  isProblem(t, parse(await raw(impatient, 'GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ')), 408, 'headers')
  isProblem(t, parse(await raw(impatient, 'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{')), 408, 'body')
  isProblem(t, parse(await raw(impatient, 'POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{')), 404, 'once: what has its answer gets no other')
  await impatient.close()
})

t.test('after all of this the service works', async (t) => {
  t.same(JSON.parse((await send('GET', '/health')).body), { status: 'healthy' })
})
