import t from 'tap'
import { randomBytes } from 'node:crypto'
import { MemcachedClient, type MemcachedClientOptions } from '../../../../../services/cache/backends/memcached/client.js'
import { isTooLarge } from '../../../../../services/cache/backends/memcached/faults.js'
import { type ItemName, ItemNames } from '../../../../../services/cache/backends/memcached/names.js'
import { eventually } from '../../../../support/caches.js'
import { type Owner, memcachedUrl, startMemcached } from '../../../../support/servers.js'
import { fakeServer } from './fake-server.js'

const names = new ItemNames('larder', 'test')
const named = (key: string): ItemName => names.of('default', key)

async function connect (owner: Owner, url: string, options: Partial<MemcachedClientOptions> = {}): Promise<MemcachedClient> {
  const client = new MemcachedClient({ url, ...options })
  owner.teardown(() => { client.close() })
  await client.ready(5000)
  return client
}

/** Stores whatever was there. */
async function put (client: MemcachedClient, name: ItemName, value: Buffer, expiry = 0): Promise<void> {
  const item = await client.get(name, { values: false })
  if (!await client.store(name, { value, expiry }, item)) throw new Error('Somebody else writes')
}

void t.test('over a memcached', async (t) => {
  const url = await memcachedUrl(t)
  const client = await connect(t, url)

  t.test('a value comes back byte for byte', async (t) => {
    const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
    const values = [every, Buffer.alloc(0), Buffer.from([0]), Buffer.from('\r\n'), Buffer.from('END\r\nVA 3 c1\r\nmn\r\n'), randomBytes(1_048_000)]
    for (let length = 1; length < 200_000; length = length * 3 + 1) values.push(randomBytes(length))
    for (const value of values) {
      await put(client, named('bytes'), value)
      const item = await client.get(named('bytes'))
      t.ok(item?.value?.equals(value), `${value.length} bytes`)
    }
  })

  t.test('whatever the key, it names one item', async (t) => {
    const keys = [
      'k', 'a'.repeat(250), 'a'.repeat(251), 'a'.repeat(1000), 'é'.repeat(90), 'é'.repeat(125), '日本語'.repeat(100), '\u{1f600}', 'a b', ' ', 'a\tb', 'a\u0000b', 'a\r\nb',
      'a\r\nms evil 1\r\nx', 'a v', 'a%20b', 'Zm9v', '#', '=', '+', '*', '#k', ':', '::', '\ud800', '\ud801', 'x\udfff', '~', '\u007f', '\u0080', '\uffff'
    ]
    for (const [at, key] of keys.entries()) await put(client, named(key), Buffer.from(String(at)))
    const items = await client.getMany(keys.map(named))
    t.strictSame(items.map((item) => item?.value?.toString()), keys.map((_, at) => String(at)))
    t.equal(await client.get({ token: 'evil', isHashed: false }), undefined, 'no key is a command')
    for (const key of keys) t.ok(named(key).token.length <= 250)
  })

  t.test('a thousand requests at once are answered each with its own', async (t) => {
    const keys = Array.from({ length: 1000 }, (_, at) => `pipelined:${at}`)
    const stored = await Promise.all(keys.map(async (key) => await client.store(named(key), { value: Buffer.from(key), expiry: 0 }, undefined)))
    t.ok(stored.every(Boolean))
    const one = await Promise.all(keys.map(async (key) => await client.get(named(key))))
    t.strictSame(one.map((item) => item?.value?.toString()), keys)
    const asked = keys.flatMap((key, at) => at % 3 === 0 ? [`none:${at}`, key] : [key])
    const many = await client.getMany(asked.map(named))
    t.strictSame(many.map((item) => item?.value?.toString()), asked.map((key) => key.startsWith('none') ? undefined : key), 'in one question, with gaps')
    const gone = await Promise.all(many.flatMap((item, at) => item === undefined ? [] : [client.remove(named(asked[at]!), item)]))
    t.equal(gone.filter(Boolean).length, 1000)
  })

  t.test('compare and swap', async (t) => {
    const name = named('swapped')
    const [value, other] = [Buffer.from('value'), Buffer.from('other')]
    t.equal(await client.store(name, { value, expiry: 0 }, { cas: '12345', connection: 1 }), false, 'not over an item that is not there')
    t.equal(await client.store(name, { value, flags: 4_294_967_295, expiry: 0 }, undefined), true)
    t.equal(await client.store(name, { value: other, expiry: 0 }, undefined), false, 'not where there is one')
    const item = (await client.get(name))!
    t.match(item, { value, flags: 4_294_967_295 })
    const outcomes = await Promise.all(Array.from({ length: 50 }, async () => await client.store(name, { value: other, expiry: 0 }, item)))
    t.equal(outcomes.filter(Boolean).length, 1, 'one of many')
    t.equal(await client.remove(name, item), false)
    t.equal(await client.remove(name, (await client.get(name))!), true)
    t.equal(await client.get(name), undefined)
  })

  t.test('a claim says whether anything happened to the item since', async (t) => {
    const there = named('claimed')
    await put(client, there, Buffer.from('old'))
    const claim = await client.claim(there, 60)
    t.equal((await client.get(there))?.value?.toString(), 'old', 'it changes nothing')
    t.equal(await client.store(there, { value: Buffer.from('new'), expiry: 0 }, claim), true)
    t.equal(await client.store(there, { value: Buffer.from('late'), expiry: 0 }, claim), false)

    const claimed = async (absent: ItemName): Promise<void> => {
      const [first, second] = [await client.claim(absent, 60), await client.claim(absent, 60)]
      t.equal(first.cas, second.cas, 'of those who wait for the same, one may fill')
      t.equal((await client.get(absent))?.value?.length, 0)
      await client.remove(absent, first)
      const third = await client.claim(absent, 60)
      t.equal(await client.store(absent, { value: Buffer.from('late'), expiry: 0 }, first), false, 'a removal in between')
      t.equal(await client.store(absent, { value: Buffer.from('value'), expiry: 0 }, third), true)
    }
    for (const absent of [named('claimed:absent'), named('claimed absent\r\n')]) await claimed(absent)
  })

  t.test('times to live', async (t) => {
    const left = async (milliseconds: number): Promise<number | undefined> => {
      await put(client, named('timed'), Buffer.from('x'), client.expiry(milliseconds))
      return (await client.get(named('timed'), { ttl: true }))?.ttl
    }
    t.equal(await left(Infinity), Infinity)
    t.equal(await left(200 * 365 * 86_400_000), Infinity, 'beyond what the server can count to')
    for (const seconds of [0.05, 1, 30, 86_400 * 29.9, 86_400 * 30, 86_400 * 30 + 1, 86_400 * 60, 86_400 * 365 * 3]) {
      const actual = await left(seconds * 1000) ?? NaN
      t.ok(actual >= Math.floor(seconds) - 1 && actual <= Math.ceil(seconds) + 3, `${seconds} s: ${actual}`)
    }
    await left(0.01)
    await eventually(async () => await client.get(named('timed')) === undefined, 'the server drops it')
  })

  t.test('a value that does not fit is refused, and the connection stays in step', async (t) => {
    const name = named('large')
    const most = client.itemSize - name.token.length - 64
    t.ok(client.fits(name, most))
    t.notOk(client.fits(name, most + 1))
    await put(client, name, randomBytes(most))
    t.equal((await client.get(name))?.value?.length, most, 'the largest that is said to fit does')
    const answers = await Promise.allSettled([
      client.store(name, { value: Buffer.alloc(2_000_000), expiry: 0 }, await client.get(name, { values: false })),
      client.store(named('after'), { value: Buffer.from('it'), expiry: 0 }, undefined),
      client.get(named('after'))
    ])
    t.ok(answers[0].status === 'rejected' && isTooLarge(answers[0].reason))
    t.match(answers[1], { value: true })
    t.match(answers[2], { value: { value: Buffer.from('it') } })
  })

  t.test('lists its items, whatever their names', async (t) => {
    const mine = new ItemNames('dumped', '1')
    const keys = ['plain', '%', '%41', 'x=y', '=', ':', '~!"$&\'()', ...Array.from({ length: 3000 }, (_, at) => `many:${at}`)]
    await Promise.all(keys.map(async (key) => await client.store(mine.of('n', key), { value: Buffer.from(key), expiry: 0 }, undefined)))
    await client.store(new ItemNames('dumped', '2').of('n', 'other'), { value: Buffer.from('x'), expiry: 0 }, undefined)
    await client.store(mine.of('nn', 'other'), { value: Buffer.from('x'), expiry: 0 }, undefined)
    const found: (string | undefined)[] = []
    let portions = 0
    for await (const portion of (await client.dump(mine.beginning('n'))).portions(100, 10_000)) {
      portions++
      t.ok(portion.length <= 100)
      for (const { token } of portion) found.push(mine.parse(token)?.key)
    }
    t.strictSame(found.sort(), [...keys].sort())
    t.ok(portions >= 30)
    const two = await Promise.all([1, 2].map(async () => {
      let count = 0
      for await (const portion of (await client.dump(mine.beginning(undefined))).portions(1000, 1e9)) count += portion.length
      return count
    }))
    t.strictSame(two, [keys.length + 1, keys.length + 1], 'also for two at the same time')
    const begun = (await client.dump(mine.beginning(undefined))).portions(10, 1e9)[Symbol.asyncIterator]()
    t.equal((await begun.next() as IteratorYieldResult<unknown[]>).value.length, 10)
    t.equal((await begun.return?.())?.done, true, 'and whoever has enough stops')
  })
})

const trouble: Record<string, (asked: string) => string | undefined> = {
  'the answer to another request': (asked) => asked.replace(/^mg (\S+) .*O(\d+).*$/s, (_, token: string, opaque: string) => `VA 5 c1 f0 k${token} O${Number(opaque) + 1}\r\nwrong\r\nMN\r\n`),
  'another key\'s item': (asked) => asked.replace(/^mg \S+ .*O(\d+).*$/s, (_, opaque: string) => `VA 5 c1 f0 kanother O${opaque}\r\nwrong\r\nMN\r\n`),
  'an item without a number': (asked) => asked.replace(/^mg (\S+) .*$/s, (_, token: string) => `VA 5 c1 f0 k${token}\r\nwrong\r\nMN\r\n`),
  'the same item twice': (asked) => asked.replace(/^mg (\S+) .*O(\d+).*$/s, (_, token: string, opaque: string) => `VA 1 c1 f0 k${token} O${opaque}\r\nx\r\n`.repeat(2) + 'MN\r\n'),
  'a value longer than it is said to be': (asked) => asked.replace(/^mg (\S+) .*O(\d+).*$/s, (_, token: string, opaque: string) => `VA 2 c1 f0 k${token} O${opaque}\r\nwrong\r\nMN\r\n`),
  'a value of a size that cannot be': () => 'VA 99999999 c1 f0 kk O0\r\n',
  'a negative size': () => 'VA -1 c1\r\n',
  garbage: () => '\u0000\u0001\u0002 garbage \r\n',
  'garbage without an end': () => 'x'.repeat(5000),
  'another protocol': () => 'HTTP/1.1 400 Bad Request\r\n\r\n',
  'an error': () => 'ERROR\r\n',
  'a complaint': () => 'CLIENT_ERROR bad command line format\r\n',
  'half a line': () => 'VA 5 c1',
  'half a value': (asked) => asked.replace(/^mg (\S+) .*O(\d+).*$/s, (_, token: string, opaque: string) => `VA 5 c1 f0 k${token} O${opaque}\r\nwro`),
  nothing: () => undefined
}

void t.test('a server that answers with', async (t) => {
  for (const [what, answer] of Object.entries(trouble)) {
    t.test(what, async (t) => {
      let isSick = true
      const server = await fakeServer(t, (asked, socket) => {
        const text = isSick ? answer(asked) : asked.replace(/^mg (\S+) .*O(\d+).*$/s, (_, token: string, opaque: string) => `VA 5 c1 f0 k${token} O${opaque}\r\nright\r\nMN\r\n`)
        if (text !== undefined) socket.write(text, 'latin1')
      })
      const client = await connect(t, server.url, { patience: 100 })
      const answers = await Promise.allSettled([client.get(named('a')), client.get(named('b')), client.store(named('c'), { value: Buffer.from('c'), expiry: 0 }, undefined)])
      for (const { status } of answers) t.equal(status, 'rejected', 'every request fails')
      isSick = false
      await eventually(() => client.isReady && server.connections() > 1, 'there is another connection')
      t.equal((await client.get(named('a')))?.value?.toString(), 'right')
    })
  }

  t.test('an item that nobody asked for', async (t) => {
    const server = await fakeServer(t, (_, socket) => { socket.write('MN\r\nVA 5 c1 f0 kk O0\r\nwrong\r\n') })
    const client = await connect(t, server.url)
    t.equal(await client.get(named('a')), undefined)
    await eventually(() => server.connections() > 1, 'the connection is given up')
  })

  t.test('everything, in pieces of one byte', async (t) => {
    const value = 'a\r\nMN\r\nb'
    const server = await fakeServer(t, (asked, socket) => {
      const text = asked.replace(/^mg (\S+) .*O(\d+).*$/s, (_, token: string, opaque: string) => `VA ${value.length} c7 f9 k${token} O${opaque}\r\n${value}\r\nMN\r\n`)
      let at = 0
      const next = (): void => {
        if (at === text.length) return
        socket.write(text[at++] as string, 'latin1', () => { setImmediate(next) })
      }
      socket.setNoDelay(true)
      next()
    })
    const client = await connect(t, server.url)
    t.match(await client.get(named('a')), { value: Buffer.from(value), cas: '7', flags: 9 })
    t.equal(server.connections(), 1)
  })
})

void t.test('what was seen before the server was restarted is not changed after it, though it counts anew', async (t) => {
  const server = await startMemcached(t)
  const client = await connect(t, server.url)
  const name = named('k')
  await put(client, name, Buffer.from('old'))
  const before = (await client.get(name))!
  await server.restart()
  await eventually(async () => await client.get(name).then((item) => item === undefined, () => false), 'it is back')
  await put(client, name, Buffer.from('new'))
  const after = (await client.get(name))!
  t.equal(after.cas, before.cas, 'the same number for another item')
  t.equal(await client.store(name, { value: Buffer.from('late'), expiry: 0 }, before), false)
  t.equal(await client.remove(name, before), false)
  t.equal((await client.get(name))?.value?.toString(), 'new')
})

void t.test('a server that asks for a user and a password', async (t) => {
  const server = await fakeServer(t, (asked, socket) => {
    if (asked.startsWith('set')) socket.write(asked.endsWith('\r\nuser pass word\r\n') ? 'STORED\r\n' : 'CLIENT_ERROR authentication failure\r\n')
    else socket.write('MN\r\n')
  })
  const url = new URL(server.url)
  url.username = 'user'
  url.password = 'wrong'
  t.equal((await connect(t, url.href)).isReady, false)
  url.password = 'pass word'
  const client = await connect(t, url.href)
  t.equal(client.isReady, true)
  await client.ping()
  t.equal(server.heard.at(-2), 'set login 0 0 14\r\nuser pass word\r\n')
})

void t.test('without a server', async (t) => {
  t.test('requests fail at once, and nothing is kept for later', async (t) => {
    const states: boolean[] = []
    const client = await connect(t, 'memcached://127.0.0.1:1', { onState: (isReady) => { states.push(isReady) } }).catch(() => undefined)
    t.ok(client)
    const began = Date.now()
    await t.rejects(client!.get(named('a')), { name: 'ConnectionLostError' })
    t.ok(Date.now() - began < 1000)
    t.ok(states.length > 0 && states.every((isReady) => !isReady))
  })
})
