import { readFileSync, readdirSync } from 'node:fs'
import t from 'tap'
import Fastify from 'fastify'
import { Type } from '@sinclair/typebox'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import components from '../../plugins/components.js'
import { answer, limit, problems, ref } from '../../schemas/common.js'
import { bare } from './bare.js'

const Shelf = Type.Object({ height: Type.Number() }, { $id: 'Shelf', description: 'A shelf', examples: [{ height: 3 }] })
const Cupboard = Type.Object({
  shelves: Type.Array(ref(Shelf)),
  best: Type.Optional(Type.Union([ref(Shelf), Type.Null()]))
}, { $id: 'Cupboard', description: 'A cupboard', examples: [{ shelves: [{ height: 3 }] }] })

interface Media { schema: Record<string, unknown>, example?: unknown }
interface Answer { description: string, headers?: Record<string, unknown>, content?: Record<string, Media> }
interface Operation {
  operationId: string
  summary: string
  tags: string[]
  description?: string
  security: Record<string, string[]>[]
  'x-scope': string
  requestBody?: { content: Record<string, Media> }
  responses: Record<string, Answer>
}
interface Document {
  openapi: string
  tags: { name: string }[]
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, { description?: string, examples?: unknown[] }>, securitySchemes: Record<string, unknown> }
}

async function withRoutes () {
  const app = await bare()
  await app.register(async (app) => {
    app.withTypeProvider<TypeBoxTypeProvider>().post('/cupboards', {
      config: { scope: 'items:write' },
      schema: {
        operationId: 'createCupboard',
        summary: 'Creates a cupboard',
        tags: ['Items'],
        querystring: Type.Object({ limit }),
        body: ref(Cupboard),
        response: { 201: ref(Cupboard), 202: answer(Shelf, 'Later', { height: 9 }), ...problems(409, 503) }
      }
    }, async (request, reply) => reply.code(201).send({ shelves: request.body.shelves }))
  }, { prefix: '/deep' })
  return app
}

t.test('a schema that is mentioned anywhere is a component, and validates', async (t) => {
  const app = await withRoutes()
  const post = (payload: object) => app.inject({ method: 'POST', url: '/deep/cupboards', payload })
  t.same((await post({ shelves: [{ height: 1 }] })).json(), { shelves: [{ height: 1 }] })
  t.match((await post({ shelves: [{ height: 'x' }] })).json(), { errors: [{ path: 'body/shelves/0/height' }] })
  const { components: { schemas }, paths } = (await app.inject('/openapi.json')).json<Document>()
  t.match(Object.keys(schemas), ['Problem'])
  t.ok(schemas.Shelf && schemas.Cupboard && schemas.ValidationIssue)
  t.same(paths['/deep/cupboards']?.post?.requestBody?.content['application/json'], {
    schema: { $ref: '#/components/schemas/Cupboard' }, example: { shelves: [{ height: 3 }] }
  })
  await app.close()
})

t.test('a schema without a name cannot be referred to', async (t) => {
  t.throws(() => ref(Type.Object({})), TypeError)
})

t.test('two modules may mention the same component', async (t) => {
  const app = Fastify()
  await app.register(components)
  for (const prefix of ['/a', '/b']) {
    await app.register(async (app) => {
      app.get('/one', { schema: { response: { 200: ref(Cupboard) } } }, async () => ({ shelves: [] }))
      app.get('/two', { schema: { response: { 200: ref(Cupboard) } } }, async () => ({ shelves: [] }))
    }, { prefix })
  }
  t.equal((await app.inject('/b/two')).body, '{"shelves":[]}')
  await app.close()
})

t.test('two components of one name stop the start', async (t) => {
  const app = Fastify()
  await app.register(components)
  app.get('/one', { schema: { response: { 200: ref(Shelf) } } }, async () => ({ height: 1 }))
  const other = Type.Object({ width: Type.Number() }, { $id: 'Shelf' })
  t.throws(() => app.get('/two', { schema: { response: { 200: ref(other) } } }, async () => ({ width: 1 })), /Two schemas are named Shelf; \/two/)
})

t.test('every operation is documented, with an example of everything that it takes and answers', async (t) => {
  const app = await withRoutes()
  const { openapi, paths, components: { schemas }, tags } = (await app.inject('/openapi.json')).json<Document>()
  t.equal(openapi, '3.1.0')
  const operations = Object.values(paths).flatMap((path) => Object.values(path))
  t.ok(operations.length >= 9)
  t.equal(new Set(operations.map(({ operationId }) => operationId)).size, operations.length)
  for (const operation of operations) {
    const name = operation.operationId
    t.match(name, /^[a-z][a-zA-Z]+$/)
    t.ok(operation.summary && operation['x-scope'], `${name} has a summary and a scope`)
    t.ok(operation.tags.every((tag) => tags.some(({ name }) => name === tag)), `${name} stands in a chapter`)
    t.ok(operation.responses[400] && operation.responses[500], `${name} documents what any operation can answer`)
    for (const [status, { headers, content = {} }] of Object.entries(operation.responses)) {
      t.ok(headers?.['x-request-id'], `${name} ${status} carries its id`)
      for (const media of Object.values(content)) t.not(media.example, undefined, `${name} ${status} has an example`)
    }
  }
  for (const [name, { description, examples }] of Object.entries(schemas)) t.ok(description && examples?.length, `${name} is explained`)
  const post = paths['/deep/cupboards']?.post
  t.strictSame(Object.keys(post?.responses ?? {}), ['201', '202', '400', '401', '403', '409', '413', '415', '429', '500', '503', '504'])
  t.same(post?.responses[202]?.content?.['application/json']?.example, { height: 9 })
  t.match(post?.responses[409]?.content?.['application/problem+json'], { schema: { $ref: '#/components/schemas/Problem' }, example: { status: 409 } })
  await app.close()
})

t.test('every operation says what credential it asks for, and what comes of a wrong one', async (t) => {
  const app = await withRoutes()
  const { paths, components: { securitySchemes } } = (await app.inject('/openapi.json')).json<Document>()
  t.match(securitySchemes, { apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key' }, bearer: { type: 'http', scheme: 'bearer' } })
  for (const operation of Object.values(paths).flatMap((path) => Object.values(path))) {
    const { operationId: name, 'x-scope': scope, responses, security, description } = operation
    t.notOk('x-unlimited' in operation)
    t.ok(responses[401]?.headers?.['www-authenticate'], name)
    if (scope === 'public') {
      t.strictSame(security, [], name)
    } else {
      t.strictSame(security, [{ apiKey: [scope] }, { bearer: [scope] }], name)
      t.match(description, new RegExp(`Needs the scope \`${scope}\`\\.$`))
      t.ok(responses[403]?.headers?.['www-authenticate'] && responses[429]?.headers?.['retry-after'] && responses[503]?.headers?.['retry-after'], name)
    }
  }
  await app.close()
})

t.test('the document is sent once to who keeps it', async (t) => {
  const app = await bare()
  for (const url of ['/openapi.json', '/openapi.yaml']) {
    const first = await app.inject(url)
    const { etag } = first.headers
    t.match(etag, /^"[\w-]+"$/)
    t.equal((await app.inject(url)).body, first.body)
    for (const condition of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const again = await app.inject({ url, headers: { 'if-none-match': condition } })
      t.equal(again.statusCode, 304)
      t.equal(again.body, '')
      t.equal(again.headers.etag, etag)
    }
    t.equal((await app.inject({ url, headers: { 'if-none-match': '"other"' } })).statusCode, 200)
  }
  t.match((await app.inject('/openapi.yaml')).body, /^openapi: 3\.1\.0\n/)
  await app.close()
})

t.test('the pages load nothing from another host and run nothing inline', async (t) => {
  const app = await bare()
  const pages = [['/', { accept: 'text/html' }], ['/docs', {}], ['/redoc', {}], ['/problems/not-found', { accept: 'text/html' }]] as const
  for (const [url, headers] of pages) {
    const { headers: { 'content-type': type, 'content-security-policy': policy }, body } = await app.inject({ url, headers })
    t.equal(type, 'text/html; charset=utf-8')
    t.match(policy, /^default-src 'none'; script-src 'self';/)
    t.notMatch(policy, /https?:|\*|script-src [^;]*unsafe/)
    t.notMatch(body, /<script(?![^>]*\ssrc=)[^>]*>|\son\w+\s*=|javascript:/i, `${url} has no inline script`)
    const loaded = [...body.matchAll(/<(?:script|link|img)\b[^>]*?\s(?:src|href)="([^"]*)"/g)].map(([, address]) => address ?? '')
    t.ok(loaded.length > 0)
    for (const address of loaded) {
      t.match(address, /^\/(?!\/)/, `${url} loads ${address} from here`)
      t.equal((await app.inject(address)).statusCode, 200, address)
    }
    for (const [, address] of body.matchAll(/<a\b[^>]*\shref="(\/(?:docs|redoc|openapi|health|metrics)[^"]*)"/g)) {
      t.equal((await app.inject(address ?? '')).statusCode, 200, address ?? '')
    }
  }
  await app.close()
})

t.test('our own assets name no other host, and all are served', async (t) => {
  const app = await bare()
  const root = new URL('../../public/', import.meta.url)
  for (const name of readdirSync(root).filter((name) => /\.(css|js|html|svg)$/.test(name))) {
    t.notMatch(readFileSync(new URL(name, root), 'utf8').replaceAll('http://www.w3.org/2000/svg', ''),
      /(?:src|href)=["']?(?:https?:)?\/\/|url\(["']?(?:https?:)?\/\/|@import/, name)
    const { statusCode, headers } = await app.inject(`/assets/${name}`)
    t.equal(statusCode, 200)
    t.equal(headers['x-content-type-options'], 'nosniff')
  }
  for (const path of ['nothing', '../package.json', '%2e%2e/package.json', '..%2fpackage.json', '']) {
    t.equal((await app.inject(`/assets/${path}`)).statusCode, 404, path)
  }
  const icon = await app.inject('/assets/icon.svg')
  t.equal((await app.inject({ url: '/assets/icon.svg', headers: { 'if-none-match': icon.headers.etag as string } })).statusCode, 304)
  await app.close()
})

t.test('ReDoc comes without the logo of its maker, which is on another host', async (t) => {
  const app = await bare()
  const { statusCode, body } = await app.inject('/assets/vendor/redoc.standalone.js')
  t.equal(statusCode, 200)
  t.notMatch(body, /cdn\.redoc\.ly/)
  await app.close()
})

t.test('Swagger UI asks nobody to validate the document', async (t) => {
  const app = await bare()
  t.match((await app.inject('/docs/static/swagger-initializer.js')).body, /validatorUrl: null/)
  t.equal((await app.inject('/docs/json')).json<Document>().openapi, '3.1.0')
  await app.close()
})
