import { createHmac } from 'node:crypto'
import type { LookupAddress } from 'node:dns'
import t from 'tap'
import { messageOf, MAX_MESSAGE } from '../../../services/webhooks/message.js'
import { OutgoingGuard } from '../../../services/webhooks/outgoing-guard.js'
import { newSecret, signed } from '../../../services/webhooks/signature.js'

const refused = /^The URL /

void t.test('addresses that lead inwards are refused however they are written', async (t) => {
  const guard = new OutgoingGuard({ hosts: ['*'] })
  for (const host of [
    '127.0.0.1', '127.1', '2130706433', '0x7f.1', '0177.0.0.1', '①②⑦.0.0.1', '0', '10.0.0.1', '169.254.169.254', '192.168.1.1', '172.31.0.1', '100.64.0.1', '224.0.0.1', '255.255.255.255',
    '[::1]', '[::]', '[::ffff:7f00:1]', '[::ffff:10.0.0.1]', '[64:ff9b::7f00:1]', '[fc00::1]', '[fe80::1]', '[2002:7f00:1::]', '8.8.8.8'
  ]) {
    for (const scheme of ['http', 'https']) t.throws(() => guard.check(`${scheme}://${host}/`), refused, `${scheme}://${host}`)
  }
  for (const url of ['https://user@example.com/', 'https://user:secret@example.com/', 'http://example.com/', 'ftp://example.com/', 'file:///etc/passwd', 'javascript:alert(1)', '', 'example.com', '//example.com']) {
    t.throws(() => guard.check(url), refused, url)
  }
  t.equal(guard.check('https://Example.COM:8443/a?b#c').href, 'https://example.com:8443/a?b')
})

void t.test('hosts are allowed by name, and nothing is by default', async (t) => {
  const guard = new OutgoingGuard({ hosts: ['hooks.example.com', '*.example.org'] })
  for (const host of ['hooks.example.com', 'hooks.example.com.', 'a.example.org', 'a.b.example.org']) t.doesNotThrow(() => guard.check(`https://${host}/`), host)
  for (const host of ['example.com', 'x.hooks.example.com', 'example.org', 'evilexample.org', 'hooks.example.com.evil.net', 'localhost']) t.throws(() => guard.check(`https://${host}/`), refused, host)
  t.equal(new OutgoingGuard().isOpen, false)
  t.throws(() => new OutgoingGuard().check('https://example.com/'), refused)
  const inside = new OutgoingGuard({ addresses: ['127.0.0.1', 'fd00::/8'] })
  t.doesNotThrow(() => inside.check('http://127.0.0.1:9/hook'))
  t.doesNotThrow(() => inside.check('http://[fd00::1]/'))
  t.throws(() => inside.check('http://127.0.0.2/'), refused)
})

void t.test('a name that leads inwards as it is connected to is refused', async (t) => {
  const look = async (guard: OutgoingGuard, name: string, all = true): Promise<string | LookupAddress[]> =>
    await new Promise((resolve, reject) => { guard.lookup(name, { all }, (error, address) => { if (error) reject(error); else resolve(address) }) })
  await t.rejects(look(new OutgoingGuard({ hosts: ['*'] }), 'localhost'), { code: 'ERR_ADDRESS_FORBIDDEN' })
  const inside = new OutgoingGuard({ hosts: ['localhost'], addresses: ['127.0.0.0/8', '::1'] })
  t.match(await look(inside, 'localhost'), [{ address: /^(?:127\.|::1)/ }])
  t.match(await look(inside, 'localhost', false), /^(?:127\.|::1)/)
})

void t.test('a message is signed under each secret, over its id, its time and its bytes', async (t) => {
  const [one, other] = [newSecret(), newSecret()]
  t.match(one, /^whsec_[A-Za-z0-9+/]{43}=$/)
  t.not(one, other)
  const headers = signed('msg-1', 1_700_000_000, '{"a":1}', [one, other])
  const expected = [one, other].map((secret) => `v1,${createHmac('sha256', Buffer.from(secret.slice(6), 'base64')).update('msg-1.1700000000.{"a":1}').digest('base64')}`)
  t.strictSame(headers, { 'webhook-id': 'msg-1', 'webhook-timestamp': '1700000000', 'webhook-signature': expected.join(' ') })
  // The example of the specification's own libraries.
  t.equal(signed('msg_p5jXN8AQM9LWM0D4loKWxJek', 1_614_265_330, '{"test": 2432232314}', ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'])['webhook-signature'],
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=')
})

void t.test('an event that is too large goes without its data', async (t) => {
  const event = {
    specversion: '1.0' as const, id: 'e', source: '/larder' as const, type: 'item.created', time: '2026-01-01T00:00:00.000Z', subject: 'items/7', datacontenttype: 'application/json' as const, data: { text: 'x' }
  }
  t.equal(messageOf(event), JSON.stringify(event))
  const large = JSON.parse(messageOf({ ...event, data: { text: 'ü'.repeat(MAX_MESSAGE / 2) } })) as Record<string, unknown>
  t.equal(large['data'], undefined)
  t.match(large, { id: 'e', type: 'item.created', dataref: '/items/7' })
})
