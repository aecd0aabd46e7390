import { readFileSync } from 'node:fs'
import t from 'tap'
import { breakingChanges } from '../../../tools/openapi/breaking-changes.js'
import { announcements, unannounced } from '../../../tools/openapi/changelog.js'
import { contractOf, type Document, type Parameter, type Schema } from '../../../tools/openapi/document.js'

const text = readFileSync(new URL('../../../clients/baseline.json', import.meta.url), 'utf8')
const released = () => JSON.parse(text) as Document
const schema = (document: Document, name: string) => document.components.schemas[name]!
const field = (document: Document, name: string, property: string) => schema(document, name).properties![property]!
const operation = (document: Document, path: string, method: string) => document.paths[path]![method]!
const answer = (document: Document, path: string, method: string, status: string) => operation(document, path, method).responses[status]!

/** What a change of the released document is found to break. */
function found (change: (document: Document) => void): string[] {
  const document = released()
  change(document)
  return breakingChanges(released(), document).map(({ text }) => text)
}

type Change = [name: string, expected: string[], change: (document: Document) => void]

const BREAKING: Change[] = [
  ['an operation that goes', ['deleteItem: DELETE /items/{id} is gone'], (d) => { delete d.paths['/items/{id}']!.delete }],
  ['a path that goes', ['getHealth: GET /health is gone'], (d) => { delete d.paths['/health'] }],
  ['another name of an operation', ['listItems: it is called getItems'], (d) => { operation(d, '/items', 'get').operationId = 'getItems' }],
  ['a scope where there was none', ['greet: it needs the scope users:read, and needed none'], (d) => { operation(d, '/user', 'get')['x-scope'] = 'users:read' }],
  ['another scope', ['listItems: it needs the scope items:write, and needed items:read'], (d) => { operation(d, '/items', 'get')['x-scope'] = 'items:write' }],
  ['a status that goes', ['getItem: it does not answer 404 any more'], (d) => { delete operation(d, '/items/{id}', 'get').responses[404] }],
  ['a header that goes', ['getItem: 200 has no header x-request-id any more'], (d) => { delete answer(d, '/items/{id}', 'get', '200').headers!['x-request-id'] }],
  ['a content type that goes', ['exportCache 200 as text/csv is gone'], (d) => { delete answer(d, '/api/cache/export', 'get', '200').content!['text/csv'] }],
  ['a content type that is not taken any more', ['importCache body as application/x-ndjson is gone'],
    (d) => { delete operation(d, '/api/cache/import', 'post').requestBody!.content['application/x-ndjson'] }],
  ['a schema under another name', ['Greeting: the schema is gone'], (d) => {
    d.components.schemas['Salutation'] = schema(d, 'Greeting')
    delete d.components.schemas['Greeting']
    for (const path of ['/user', '/user/{name}']) answer(d, path, 'get', '200').content!['application/json']!.schema = { $ref: '#/components/schemas/Salutation' }
  }],
  ['a kind of credential that goes', ['bearer: the kind of credential is gone'], (d) => { delete d.components.securitySchemes!['bearer'] }],
  ['a parameter that goes', ['listItems: the query parameter cursor is gone'], (d) => {
    const list = operation(d, '/items', 'get')
    list.parameters = list.parameters!.filter((one) => (one as Parameter).name !== 'cursor')
  }],
  ['a parameter that is needed', ['greet: the query parameter mood has to be sent now'], (d) => {
    operation(d, '/user', 'get').parameters!.push({ name: 'mood', in: 'query', required: true, schema: { type: 'string' } })
  }],
  ['a parameter that was optional', ['greet: the query parameter name has to be sent now'], (d) => {
    (operation(d, '/user', 'get').parameters![0] as Parameter).required = true
  }],
  ['a smaller limit of a parameter', ['listItems query parameter limit in requests: maximum was 1000, and is 10'], (d) => {
    (operation(d, '/items', 'get').parameters!.find((one) => (one as Parameter).name === 'limit') as Parameter).schema.maximum = 10
  }],
  ['a body where none was needed', ['clearCache: a body has to be sent now'], (d) => {
    operation(d, '/api/cache/clear', 'post').requestBody = { required: true, content: { 'application/json': { schema: { $ref: '#/components/schemas/NewPost' } } } }
  }],
  ['a body that is not taken any more', ['createItem: it takes no body any more'], (d) => { delete operation(d, '/items', 'post').requestBody }],
  ['a field that is needed', ['NewProduct.unit in requests: has to be sent now'], (d) => { schema(d, 'NewProduct').required!.push('unit') }],
  ['a field that is not taken any more', ['NewProduct.unit in requests: is gone'], (d) => { delete schema(d, 'NewProduct').properties!['unit'] }],
  ['a shorter field', ['NewProduct.name in requests: maxLength was 255, and is 20'], (d) => { field(d, 'NewProduct', 'name').maxLength = 20 }],
  ['a pattern that was not there', ['NewCacheEntry.key in requests: pattern was none, and is "^A"'], (d) => { field(d, 'NewCacheEntry', 'key').pattern = '^A' }],
  ['another type of a field', ['NewPost.title in requests: string is not taken any more'], (d) => { schema(d, 'NewPost').properties!['title'] = { type: 'integer' } }],
  ['a value that is not taken any more', ['CacheStrategy in requests: "lru" is not taken any more'], (d) => {
    schema(d, 'CacheStrategy').enum = schema(d, 'CacheStrategy').enum!.filter((word) => word !== 'lru')
  }],
  ['free fields that are refused', ['NewItem in requests: other fields are not taken any more'], (d) => { schema(d, 'NewItem').additionalProperties = false }],
  ['an answer without a field', ['Product.price in answers: is gone'], (d) => {
    const product = schema(d, 'Product')
    delete product.properties!['price']
    product.required = product.required!.filter((name) => name !== 'price')
  }],
  ['a field that may be missing', ['Product.price in answers: may be missing now'], (d) => {
    schema(d, 'Product').required = schema(d, 'Product').required!.filter((name) => name !== 'price')
  }],
  ['a field of another type', ['Product.id in answers: string is new'], (d) => { schema(d, 'Product').properties!['id'] = { type: 'string' } }],
  ['a number that was an integer', ['Product.stock_quantity in answers: number is new'], (d) => { field(d, 'Product', 'stock_quantity').type = 'number' }],
  ['a field that may be null', ['Product.name in answers: null is new'], (d) => { field(d, 'Product', 'name').type = ['string', 'null'] }],
  ['a form that a text had', ['Product.created_at in answers: format was "date-time", and is none'], (d) => { delete field(d, 'Product', 'created_at').format }],
  ['a value that is new', ['Source in answers: "disk" is new'], (d) => { schema(d, 'Source').enum!.push('disk') }],
  ['an answer of another kind', ['CacheGetReply in answers: a kind of object is new'], (d) => {
    d.components.schemas['CacheMaybe'] = { type: 'object', required: ['perhaps'], properties: { perhaps: { type: 'boolean' } } }
    schema(d, 'CacheGetReply').anyOf!.push({ $ref: '#/components/schemas/CacheMaybe' })
  }],
  ['elements of another type', ['PostListReply.posts[] in answers: integer is new'], (d) => { field(d, 'PostListReply', 'posts').items = { type: 'integer' } }],
  ['what stands behind a reference', ['NewEvent.event in requests: object is not taken any more'], (d) => {
    d.components.schemas['Elsewhere'] = { ...schema(d, 'NewEvent'), properties: { ...schema(d, 'NewEvent').properties, event: { type: 'null' } } }
    operation(d, '/events', 'post').requestBody!.content['application/json']!.schema = { $ref: '#/components/schemas/Elsewhere' }
    delete d.components.schemas['NewEvent']
  }]
]

const HARMLESS: [name: string, change: (document: Document) => void][] = [
  ['the same document', () => {}],
  ['a new path', (d) => { d.paths['/new'] = { get: { operationId: 'getNew', responses: {} } } }],
  ['a scope that is needed no more', (d) => { operation(d, '/items', 'get')['x-scope'] = 'public' }],
  ['a new status', (d) => { operation(d, '/items', 'get').responses[507] = { content: {} } }],
  ['a new optional parameter', (d) => { operation(d, '/user', 'get').parameters!.push({ name: 'mood', in: 'query', schema: { type: 'string' } }) }],
  ['a header by another spelling', (d) => {
    const one = operation(d, '/api/cache/set', 'post').parameters!.find((one) => (one as Parameter).name === 'if-match') as Parameter
    one.name = 'If-Match'
  }],
  ['a new optional field', (d) => { schema(d, 'NewProduct').properties!['colour'] = { type: 'string' } }],
  ['a new field in an answer', (d) => {
    schema(d, 'Product').properties!['colour'] = { type: 'string' }
    schema(d, 'Product').required!.push('colour')
  }],
  ['a longer field of a request', (d) => { field(d, 'NewProduct', 'name').maxLength = 300 }],
  ['a request that takes null as well', (d) => {
    const title = field(d, 'NewPost', 'title')
    schema(d, 'NewPost').properties!['title'] = { anyOf: [title, { type: 'null' }] }
  }],
  ['a value that does not come any more', (d) => { schema(d, 'Source').enum!.pop() }],
  ['an answer that is always there', (d) => { schema(d, 'Problem').required!.push('errors') }],
  ['one enumeration in place of alternatives', (d) => { schema(d, 'LivenessReply').properties!['status'] = { anyOf: alternatives(field(d, 'LivenessReply', 'status')) } }],
  ['another description', (d) => { schema(d, 'Product').description = 'Something else' }]
]

function alternatives (schema: Schema): Schema[] {
  return (schema.enum ?? schema.anyOf?.flatMap((one) => one.enum ?? []) ?? []).map((value) => ({ type: 'string', enum: [value] }))
}

t.test('what callers would stumble over is found, once, with its place', async (t) => {
  for (const [name, expected, change] of BREAKING) t.strictSame(found(change).filter((text) => !/^NewEvent: the schema is gone$/.test(text)), expected, name)
})

t.test('what they would not notice is not', async (t) => {
  for (const [name, change] of HARMLESS) t.strictSame(found(change), [], name)
})

t.test('a keyword that the comparison does not know stops it', async (t) => {
  t.throws(() => found((d) => { schema(d, 'Product').propertyNames = { pattern: '^a' } }), /propertyNames cannot be compared yet/)
  t.throws(() => found((d) => { schema(d, 'Product').properties!['name'] = { $ref: '#/components/schemas/Nothing' } }), /leads nowhere/)
})

t.test('a breaking change passes when the changelog names it', async (t) => {
  const before = released()
  const after = released()
  delete schema(after, 'Product').properties!['price']
  delete after.paths['/items/{id}']!.delete
  const changes = breakingChanges(before, after)
  const left = (changelog: string) => unannounced(changes, changelog).map(({ subject }) => subject)
  const changelog = (...lines: string[]) => ['# Changelog', '', 'All of it.', '', '## 0.2.0 (unreleased)', '', ...lines, '', '## 0.1.0', '', '- Old'].join('\n')

  t.strictSame(left(changelog()), ['deleteItem', 'Product'])
  t.strictSame(left(changelog('- **Breaking**: `Product` has no price')), ['deleteItem'])
  t.strictSame(left(changelog('- **Breaking**: `Product` has no price,', '  and `deleteItem` is gone')), [])
  t.strictSame(left(changelog('- `Product` has no price', '- **Breaking** `deleteItem` is gone, `ProductReply` too')), ['Product'], 'only by its name, in a line that is marked')
  t.strictSame(left('# Changelog\n\n## 0.1.0\n\n- **Breaking**: deleteItem and Product\n'), ['deleteItem', 'Product'], 'not under what is released already')
  t.strictSame(announcements(''), [])
})

t.test('prose is no part of the contract, fields of the same names are', async (t) => {
  const document = {
    info: { title: 'Larder', version: '1.0.0' },
    components: { schemas: { title: { description: 'x', properties: { description: { type: 'string', description: 'x', enum: ['example'] } }, required: ['description'] } } }
  }
  t.strictSame(contractOf(document), {
    info: { version: '1.0.0' },
    components: { schemas: { title: { properties: { description: { type: 'string', enum: ['example'] } }, required: ['description'] } } }
  })
})
