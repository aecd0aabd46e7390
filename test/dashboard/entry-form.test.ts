import t from 'tap'
import type { CacheItem } from '../../schemas/cache.js'
import { EMPTY_FORM, entryOf, formOf, type EntryForm } from '../../dashboard/pages/explore/entry-form.js'

const form = (changes: Partial<EntryForm>): EntryForm => ({ ...EMPTY_FORM, key: 'k', ...changes })
const faultsOf = (changes: Partial<EntryForm>) => entryOf(form(changes)).faults

void t.test('what stands in the fields becomes an entry', async (t) => {
  t.strictSame(entryOf(form({ value: ' as it is\n' })), { entry: { key: 'k', value: ' as it is\n', data_type: 'string' } })
  t.strictSame(entryOf(form({ dataType: 'number', value: ' -1.5e3 ', ttl: '0.5', grace: '60', tags: 'a\n\n b \na', metadata: '{"source":"import"}', strategy: 'lfu' })), {
    entry: { key: 'k', value: -1500, data_type: 'number', ttl: 0.5, grace: 60, strategy: 'lfu', metadata: { source: 'import', tags: ['a', 'b'] } }
  })
  t.match(entryOf(form({ dataType: 'boolean', value: 'false' })), { entry: { value: false } })
  t.match(entryOf(form({ dataType: 'json', value: 'null', ttl: '0' })), { entry: { value: null, ttl: 0 } })
  t.match(entryOf(form({ dataType: 'list', value: '[1,"two"]' })), { entry: { value: [1, 'two'] } })
  t.match(entryOf(form({ dataType: 'dictionary', value: '{"a":{}}' })), { entry: { value: { a: {} } } })
  t.match(entryOf(form({ dataType: 'binary', value: 'AP8=\n' })), { entry: { value: 'AP8=' } })
  t.match(entryOf(form({ dataType: 'binary', value: '' })), { entry: { value: '' } })
})

void t.test('what is wrong is said of its field, in words', async (t) => {
  t.match(faultsOf({ key: '' }), { key: /user:123/ })
  t.match(faultsOf({ key: 'a\tb' }), { key: /control characters/ })
  for (const value of ['', 'x', '1x', '0x10', 'Infinity', '1e400', '1 2']) t.match(faultsOf({ dataType: 'number', value }), { value: /42/ }, value)
  t.match(faultsOf({ dataType: 'boolean', value: 'yes' }), { value: /true or false/ })
  t.match(faultsOf({ dataType: 'list', value: '{}' }), { value: /brackets/ })
  t.match(faultsOf({ dataType: 'dictionary', value: '[]' }), { value: /braces/ })
  t.match(faultsOf({ dataType: 'dictionary', value: 'null' }), { value: /braces/ })
  t.match(faultsOf({ dataType: 'json', value: '{\n  "a": x}' }), { value: /no JSON: .*double quotes/s })
  t.match(faultsOf({ dataType: 'json', value: '[1e400]' }), { value: /too large/ })
  t.match(faultsOf({ dataType: 'json', value: ' ' }), { value: /Write a JSON value/ })
  for (const value of ['AP8', 'AP9=', 'é', '<>']) t.match(faultsOf({ dataType: 'binary', value }), { value: /base64/ }, value)
  t.match(faultsOf({ ttl: '-1' }), { ttl: /not negative/ })
  t.match(faultsOf({ ttl: 'soon' }), { ttl: /seconds/i })
  t.match(faultsOf({ tags: Array.from({ length: 65 }, (_, index) => `t${index}`).join('\n') }), { tags: /at most 64/ })
  t.match(faultsOf({ tags: 'é'.repeat(126) }), { tags: /250 bytes/ })
  t.match(faultsOf({ metadata: '[]' }), { metadata: /JSON object/ })
  t.match(faultsOf({ metadata: '{"tags":[]}' }), { metadata: /field of their own/ })
  t.strictSame(Object.keys(faultsOf({ key: '', dataType: 'number', value: 'x', ttl: '-1' })!), ['key', 'value', 'ttl'], 'all of it at once')
})

void t.test('an entry that is edited and not changed stays as it is', async (t) => {
  const item = {
    key: 'ключ/\u202e', value: { a: [1, null] }, data_type: 'json', metadata: { tags: ['x', 'y'], source: { deep: 1 } }, strategy: 'sieve', grace: 30
  } as Partial<CacheItem> as CacheItem
  t.strictSame(entryOf(formOf(item, 12.2)), {
    entry: { key: item.key, value: item.value, data_type: 'json', ttl: 13, grace: 30, strategy: 'sieve', metadata: { source: { deep: 1 }, tags: ['x', 'y'] } }
  })
  t.match(entryOf(formOf(item, undefined)), { entry: { ttl: 0 } })
  for (const [value, type] of [['"quoted"', 'string'], ['1', 'string'], ['text', 'json'], [-0.5, 'number'], [true, 'boolean'], ['', 'binary']] as const) {
    t.match(entryOf(formOf({ ...item, value, data_type: type, metadata: {} }, 1)), { entry: { value, data_type: type } }, `${type} ${value}`)
  }
})
