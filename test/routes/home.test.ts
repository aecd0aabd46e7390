import t from 'tap'
import { bare } from '../plugins/bare.js'

t.test('a browser gets the dashboard, anyone else a welcome', async (t) => {
  const app = await bare()
  const home = async (accept?: string) => {
    const { statusCode, headers, body } = await app.inject({ url: '/', headers: accept === undefined ? {} : { accept } })
    t.equal(statusCode, 200)
    t.equal(headers.vary, 'Accept')
    return headers['content-type'] === 'text/html; charset=utf-8' ? 'page' : body
  }
  t.equal(await home('text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'), 'page')
  t.equal(await home('application/json, TEXT/HTML;q=0.5'), 'page')
  for (const accept of [undefined, '*/*', 'application/json', 'text/plain', 'text/html;q=0', 'text/html; q=0.000', '']) {
    t.equal(await home(accept), 'Welcome to Larder!', accept ?? 'nothing')
  }
  await app.close()
})

t.test('greetings', async (t) => {
  const app = await bare()
  const greet = async (url: string) => (await app.inject(url)).json<unknown>()
  t.strictSame(await greet('/user/Alice'), { message: 'Hello, Alice!' })
  t.strictSame(await greet('/user?name=Bob'), { message: 'Hello, Bob!' })
  t.strictSame(await greet('/user'), { message: 'Hello, Guest!' })
  t.strictSame(await greet('/user?name='), { message: 'Hello, Guest!' })
  t.strictSame(await greet('/user/'), { message: 'Hello, Guest!' })
  t.strictSame(await greet('/user/%E2%98%83%20%22%2F%00'), { message: 'Hello, ☃ "/\0!' })
  t.equal((await app.inject(`/user/${'x'.repeat(256)}`)).statusCode, 400)
  await app.close()
})

t.test('the page of a problem says what to do', async (t) => {
  const app = await bare()
  const json = await app.inject('/problems/backend-full')
  t.strictSame(json.json(), {
    type: '/problems/backend-full', title: 'Backend full', status: 507, advice: 'The backend has no room: delete something, or give it more.'
  })
  const page = await app.inject({ url: '/problems/unauthorized', headers: { accept: 'text/html' } })
  t.match(page.body, '<h1>Unauthorized</h1>')
  t.match(page.body, '<code>x-api-key</code>')
  for (const slug of ['nothing', '__proto__', 'constructor']) t.equal((await app.inject(`/problems/${slug}`)).statusCode, 404)
  await app.close()
})
