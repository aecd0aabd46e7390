import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { optionalBody, plainSchemas } from '../../../plugins/openapi-schemas.js'
import { olderDocument } from '../../../tools/clients/older-document.js'
import { Recorder } from '../../../tools/clients/recorder.js'
import { shorterDocument } from '../../../tools/clients/shorter-document.js'

const problem = (status: number) => ({ description: 'No', content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' }, example: { status } } } })
const reply = { description: 'A thing', content: { 'application/json': { schema: { $ref: '#/components/schemas/Thing' }, example: { id: 1 } } } }
const document = () => ({
  openapi: '3.1.0',
  info: { title: 'Larder', version: '1.0.0', license: { name: 'MIT', identifier: 'MIT' } },
  paths: {
    '/things': { get: { operationId: 'listThings', tags: ['Things'], responses: { 200: reply, 404: problem(404) } } },
    '/things/{id}': { get: { operationId: 'getThing', tags: ['Things'], responses: { 200: reply, 404: problem(404), 410: problem(410) } } },
    '/things/new/': { post: { operationId: 'newThing', tags: ['New'], responses: { 201: reply } } }
  },
  components: {
    schemas: {
      Thing: {
        type: 'object',
        description: 'A thing',
        examples: [{ id: 1 }],
        required: ['id', 'anyOf'],
        properties: {
          id: { type: 'number', exclusiveMinimum: 0 },
          name: { anyOf: [{ type: 'string', maxLength: 9 }, { type: 'null' }], description: 'What it is called' },
          other: { anyOf: [{ $ref: '#/components/schemas/Free' }, { type: 'null' }] },
          pair: { type: 'array', prefixItems: [{ type: 'string' }, { type: 'integer' }], minItems: 2, maxItems: 2 },
          anyOf: { type: 'boolean', enum: [true] },
          kind: { const: 'x', type: 'string' },
          mixed: { anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' } }] }
        }
      },
      Free: { type: 'object', additionalProperties: true, properties: { tags: { type: 'array', items: { type: 'string' } } } },
      Either: { description: 'One of two', anyOf: [{ $ref: '#/components/schemas/Yes' }, { $ref: '#/components/schemas/No' }] },
      Yes: { type: 'object', required: ['found', 'value'], properties: { found: { type: 'boolean', enum: [true] }, value: {} } },
      No: { type: 'object', required: ['found', 'message'], properties: { found: { type: 'boolean', enum: [false] }, message: { type: 'string' } } }
    }
  }
})

t.test('alternatives of words are one enumeration, and a body that may be null need not be sent', async (t) => {
  const schemas = {
    Status: { description: 'How it is', anyOf: [{ type: 'string', enum: ['up'] }, { type: 'string', enum: ['down'] }] },
    Name: { anyOf: [{ type: 'string', enum: ['x'] }, { type: 'null' }] },
    Pair: { type: 'array', prefixItems: [{ type: 'string' }], items: {}, maxItems: 1 }
  }
  plainSchemas(schemas)
  t.strictSame(schemas, {
    Status: { description: 'How it is', type: 'string', enum: ['up', 'down'] },
    Name: { anyOf: [{ type: 'string', enum: ['x'] }, { type: 'null' }] },
    Pair: { type: 'array', prefixItems: [{ type: 'string' }], maxItems: 1 }
  })
  const body = { required: true, content: { 'application/json': { schema: { anyOf: [{ $ref: 'X' }, { type: 'null' }] } } } }
  optionalBody(body)
  t.strictSame(body, { required: false, content: { 'application/json': { schema: { $ref: 'X' } } } })
})

t.test('the older document says the same in the words of OpenAPI 3.0', async (t) => {
  const before = document()
  const older = olderDocument(before) as ReturnType<typeof document>
  t.strictSame(before, document(), 'the document itself is left alone')
  t.equal(older.openapi, '3.0.3')
  t.strictSame(older.info.license, { name: 'MIT' })
  const { Thing, Free, Either } = older.components.schemas as Record<string, unknown>
  t.strictSame(Thing, {
    type: 'object',
    description: 'A thing',
    required: ['id', 'anyOf'],
    properties: {
      id: { type: 'number', minimum: 0, exclusiveMinimum: true },
      name: { type: 'string', maxLength: 9, description: 'What it is called', nullable: true },
      other: { allOf: [{ $ref: '#/components/schemas/Free' }], nullable: true },
      pair: { type: 'array', items: {}, minItems: 2, maxItems: 2 },
      anyOf: { type: 'boolean' },
      kind: { type: 'string', enum: ['x'] },
      mixed: {}
    }
  })
  t.strictSame(Free, { type: 'object', description: undefined })
  t.strictSame(Either, {
    description: 'One of two', type: 'object', required: ['found'], properties: { found: { type: 'boolean' }, message: { type: 'string' }, value: {} }
  })
})

t.test('the shorter document names a problem once, and leaves out the examples of answers', async (t) => {
  const shorter = shorterDocument(document()) as ReturnType<typeof document> & { components: { responses: object } }
  const described = { description: 'A thing', content: { 'application/json': { schema: { $ref: '#/components/schemas/Thing' } } } }
  const no = { description: 'No', content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } } }
  t.strictSame(shorter.paths['/things/{id}'].get.responses, { 200: described, 404: { $ref: '#/components/responses/Answer404' }, 410: no })
  t.strictSame(shorter.paths['/things'].get.responses[404], { $ref: '#/components/responses/Answer404' })
  t.strictSame(shorter.components.responses, { Answer404: no })
})

t.test('a recorder passes everything on, and notes what the document does not say', async (t) => {
  const service = createServer((request, response) => {
    response.writeHead(request.url === '/things/gone' ? 418 : 200, { 'x-seen': request.headers['x-sent'] ?? '', 'content-type': 'text/plain' })
    request.pipe(response)
  }).listen(0, '127.0.0.1')
  await once(service, 'listening')
  const recorder = await Recorder.listen(document(), `http://127.0.0.1:${(service.address() as AddressInfo).port}`)
  t.teardown(async () => {
    await recorder.close()
    service.close()
  })
  const ask = async (path: string, init?: RequestInit) => {
    const response = await fetch(recorder.url + path, init)
    return [response.status, response.headers.get('x-seen'), await response.text()]
  }
  t.strictSame(await ask('/things?limit=1', { headers: { 'x-sent': 'yes' } }), [200, 'yes', ''])
  t.strictSame(await ask('/things/one%2Ftwo'), [200, '', ''])
  t.strictSame(recorder.report(), { asked: 2, missing: [{ operationId: 'newThing', chapter: 'New' }], chapters: ['New'], faults: [] })
  t.strictSame(await ask('/things/new', { method: 'POST', body: 'a body' }), [200, '', 'a body'])
  t.equal((await ask('/things/gone'))[0], 418)
  t.equal((await ask('/elsewhere'))[0], 200)
  t.strictSame(recorder.report(), {
    asked: 2,
    missing: [{ operationId: 'listThings', chapter: 'Things' }],
    chapters: [],
    faults: ['newThing answered 200, which is not documented.', 'getThing answered 418, which is not documented.', 'GET /elsewhere is no operation of the document.']
  })
})
