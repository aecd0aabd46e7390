/**
 * A round through the client, against a service that runs: `LARDER_URL=http://127.0.0.1:8000 node example.js`, and `LARDER_API_KEY` where
 * it asks for a credential.
 */
import { createLarderClient, LarderProblem, messages, ok, type StreamedEvent } from 'larder-client'

const url = process.env['LARDER_URL'] ?? 'http://127.0.0.1:8000'
const apiKey = process.env['LARDER_API_KEY']
const larder = createLarderClient({ url, apiKey })

// An entry, with tags to invalidate it by. Its value is any JSON.
const { version } = await ok(larder.POST('/api/cache/set', {
  body: { key: 'user:123', value: { name: 'Ada', languages: ['en', 'fr'] }, ttl: 600, metadata: { tags: ['users'] } }
}))
console.log(`Stored as version ${version}.`)

// A hit and a miss are told apart by `found`.
const found = await ok(larder.GET('/api/cache/get/{key}', { params: { path: { key: 'user:123' } } }))
if (found.found) console.log('Read:', found.cache_item.value, `for ${Math.ceil(found.cache_item.ttl)} s more.`)
else console.log(found.message)

// Only over the version that was read: nobody else's change is lost. Problems may be looked at, or thrown.
const { error } = await larder.POST('/api/cache/set', {
  params: { header: { 'if-match': '"another"' } },
  body: { key: 'user:123', value: 'too late' }
})
console.log(`Refused: ${error?.title} (${error?.status}). ${error?.detail}`)
try {
  await ok(larder.GET('/products/{id}', { params: { path: { id: 1_000_000 } } }))
} catch (problem) {
  if (!(problem instanceof LarderProblem)) throw problem
  console.log(`Thrown: ${problem.message}`)
}

// Many at once, in the order asked.
await ok(larder.POST('/api/cache/warm', { body: { 'price:1': 9.5, 'price:2': 12 } }))
const batch = await ok(larder.POST('/api/cache/get-batch', { body: ['price:1', 'price:2', 'price:3'] }))
console.log(`${batch.found_count} of ${batch.total_keys} prices were there.`)

// Events as they come: what is published after the stream is open is heard.
const stream = await ok(larder.GET('/events', { params: { query: { types: 'kitchen.*' } }, parseAs: 'stream' }))
await ok(larder.POST('/events', { body: { channel: 'kitchen', event: { type: 'opened', by: 'Ada' } } }))
for await (const { data } of messages<StreamedEvent>(stream)) {
  if ('reason' in data) continue
  console.log(`Heard ${data.type}:`, data.data)
  break
}

const { deleted_count: deleted } = await ok(larder.POST('/api/cache/invalidate', { body: { tags: ['users'] } }))
console.log(`${deleted} dropped by its tag.`)
