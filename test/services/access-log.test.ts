import t from 'tap'
import { AccessLog, quoteUrl } from '../../services/access-log.js'

const reply = { statusCode: 200, getHeader: (name: string) => name === 'content-length' ? '12' : undefined }
const request = (url: string) => ({ id: 'a-1', method: 'GET', raw: { url } })

t.test('a request is one line of JSON', async (t) => {
  let text = ''
  const log = new AccessLog({ write: (lines) => { text += lines } })
  log.write(request('/user?name=Bob'), reply, 1.23456)
  log.write(request('/stream'), { ...reply, getHeader: () => undefined }, 2)
  t.equal(text, '', 'lines wait for each other')
  log.flush()
  const lines = text.split('\n')
  t.equal(lines.pop(), '')
  t.match(JSON.parse(lines[0]!), { level: 30, request_id: 'a-1', method: 'GET', url: '/user?name=Bob', status: 200, ms: 1.235, bytes: 12 })
  t.equal((JSON.parse(lines[1]!) as { bytes: null }).bytes, null)
  text = ''
  log.flush()
  t.equal(text, '')
})

t.test('many lines are written without waiting', async (t) => {
  const pieces: string[] = []
  const log = new AccessLog({ write: (lines) => pieces.push(lines) })
  for (let i = 0; i < 1000; i++) log.write(request('/user'), reply, 1)
  t.ok(pieces.length > 3 && pieces.length < 20, 'in a few large pieces')
  log.flush()
  t.equal(pieces.join('').split('\n').length, 1001)
})

t.test('a few lines are written after a moment', async (t) => {
  const written = new Promise<string>((resolve) => {
    new AccessLog({ write: resolve }).write(request('/late'), reply, 1)
  })
  const waiting = setInterval(() => {}, 1000) // the log's own timer keeps no process alive
  t.match(await written, '/late')
  clearInterval(waiting)
})

t.test('an address cannot forge a line or steer a terminal', async (t) => {
  for (const url of ['/a\r\n{"level":60}', '/\u001b[31mred', '/a"b\\c', '/\u009b31m', '/é☃\u2028', '/\u007f', '/\u0000']) {
    const quoted = quoteUrl(url)
    t.match(quoted, /^[\x20-\x7e]*$/)
    t.equal(JSON.parse(quoted), url)
  }
})

t.test('credentials in a query are masked', async (t) => {
  const shown = (url: string) => JSON.parse(quoteUrl(url)) as string
  t.equal(shown('/a?token=s3cret&x=1'), '/a?token=***&x=1')
  t.equal(shown('/a?x=1&api_key=s3cret'), '/a?x=1&api_key=***')
  t.equal(shown('/a?API-KEY=s&Access_Token=s&%74oken=s&password=s'), '/a?API-KEY=***&Access_Token=***&%74oken=***&password=***')
  t.equal(shown('/a?token&%zz=1&tokens=2'), '/a?token&%zz=1&tokens=2')
  t.equal(shown('/token=1'), '/token=1')
})
