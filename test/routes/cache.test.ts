import t from 'tap'
import { Api, startApp } from './cache/api.js'
import { everything } from './cache/everything.js'

// The other backends, and those that are embedded, are held to the same in cache-backends.long.ts.
const app = await startApp(t)

for (const backend of ['memory', 'redis']) void t.test(backend, async (t) => { await everything(t, app, backend) })

void t.test('clear and invalidate go everywhere unless told otherwise', async (t) => {
  const fill = () => Promise.all(['memory', 'redis'].map((backend) => new Api(app, backend, 'everywhere').set('a', 1, { metadata: { tags: ['t'] } })))
  const send = async (url: string, payload?: object) =>
    (await app.inject({ method: 'POST', url: `/api/cache${url}`, ...(payload === undefined ? {} : { payload }) })).json<{ deleted_count: number }>().deleted_count
  await fill()
  t.equal(await send('/clear?namespace=everywhere'), 2)
  await fill()
  t.equal(await send('/clear?namespace=everywhere&backend=*'), 2)
  await fill()
  t.equal(await send('/clear?namespace=everywhere&backend=redis'), 1)
  t.equal(await send('/invalidate', { tags: ['t'], namespace: 'everywhere' }), 1)
  await fill()
  t.equal(await send('/invalidate', { tags: ['t'], namespace: 'everywhere', backend: '*' }), 2)
  await fill()
  t.equal(await send('/invalidate?backend=memory', { pattern: 'a', namespace: 'everywhere' }), 1)
})

void t.test('backend and namespace may stand in the query or in the body, and must agree', async (t) => {
  const post = (url: string, payload: object) => app.inject({ method: 'POST', url: `/api/cache${url}`, payload })
  const set = { key: 'placed', value: 1 }
  t.equal((await post('/set?backend=redis&namespace=there', set)).json<{ backend: string }>().backend, 'redis')
  t.equal((await post('/set', { ...set, backend: 'redis', namespace: 'there' })).json<{ backend: string }>().backend, 'redis')
  t.equal((await post('/set?backend=redis&namespace=there', { ...set, backend: 'redis', namespace: 'there' })).statusCode, 200)
  t.equal((await post('/set', set)).json<{ backend: string }>().backend, 'memory')
  for (const [url, body] of [
    ['/set', { ...set, namespace: 'a' }], ['/touch', { key: 'a', ttl: 1, namespace: 'a' }], ['/increment', { key: 'a', namespace: 'a' }],
    ['/invalidate', { pattern: 'a', namespace: 'a' }]
  ] as const) {
    const response = await post(`${url}?namespace=b`, body)
    t.equal(response.statusCode, 400, url)
    t.match(response.json(), { detail: /namespace/ })
    t.equal((await post(`${url}?backend=redis`, { ...body, backend: 'memory' })).statusCode, 400, url)
  }
  t.equal((await post('/config?backend=redis', { backend: 'memory' })).statusCode, 400)
})

void t.test('HEAD answers like GET, without a body', async (t) => {
  const { body: { version } } = await new Api(app, 'memory', 'head').set('a', 1)
  const response = await app.inject({ method: 'HEAD', url: '/api/cache/get/a?namespace=head' })
  t.strictSame([response.statusCode, response.headers['etag'], response.body], [200, `"${version}"`, ''])
})

void t.test('trailing slashes do not matter', async (t) => {
  await new Api(app, 'memory', 'default').set('slashed', 1)
  for (const url of ['/api/cache/get/slashed/', '/api/cache/keys/', '/api/cache/stats/']) t.equal((await app.inject(url)).statusCode, 200, url)
})
