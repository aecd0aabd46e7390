import { createHmac, generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { createServer, type AddressInfo } from 'node:net'
import t from 'tap'
import { ALGORITHMS } from '../../../../services/access/valet/signing-key.js'
import { openApp } from '../../../routes/sample-app.js'
import { databaseUrl } from '../../../support/servers.js'
import { temporaryFolder } from '../../../support/temporary-folder.js'
import { CALLER, encode, forge, publicForms, SECRET, stolenKey } from './issuing.js'

for (const algorithm of ALGORITHMS) {
  t.test(`with ${algorithm}, what this service has not written is refused, in the same words whatever is wrong`, async (t) => {
    let connections = 0
    const listener = createServer((socket) => {
      connections++
      socket.destroy()
    })
    await new Promise<void>((resolve) => { listener.listen(0, '127.0.0.1', resolve) })
    t.teardown(() => { listener.close() })
    const elsewhere = `http://127.0.0.1:${(listener.address() as AddressInfo).port}/jwks.json`

    const app = await openApp(t, {
      DATABASE_URL: await databaseUrl(t), DATA_DIR: temporaryFolder(t), SAMPLE_DATA: 'false', SECRET_KEY: SECRET, VALET_ALGORITHM: algorithm, FAILED_LOGIN_LIMITS: '100000/minute'
    })
    const key = await stolenKey(app.database)
    const { kid } = key
    const now = Math.floor(Date.now() / 1000)
    const header = { alg: algorithm, typ: 'valet+jwt', kid }
    const claims = { iss: 'larder', aud: 'larder', sub: 'local', jti: randomUUID(), iat: now, nbf: now - 30, exp: now + 300, scope: 'items:read' }
    const good = forge(key, header, claims)
    const [head, body, signature] = good.split('.') as [string, string, string]
    const unsigned = (alg: string) => `${encode(JSON.stringify({ ...header, alg }))}.${body}.`
    const withHeader = (change: object) => forge(key, { ...header, ...change }, claims)
    const withClaims = (change: object) => forge(key, header, { ...claims, ...change })
    const without = (name: keyof typeof claims) => forge(key, header, Object.fromEntries(Object.entries(claims).filter(([one]) => one !== name)))
    const withText = (text: string | Buffer) => forge(key, header, text)
    /** The same object with more at its end. */
    const more = (object: object, text: string) => `${JSON.stringify(object).slice(0, -1)},${text}}`
    const hmac = (hash: string, secret: Buffer, alg: string) => {
      const input = `${encode(JSON.stringify({ ...header, alg }))}.${body}`
      return `${input}.${encode(createHmac(hash, secret).update(input).digest())}`
    }
    const signed = (alg: string) => {
      const input = `${encode(JSON.stringify({ ...header, alg }))}.${body}`
      const privateKey = alg === 'RS256'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
        : alg === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey : generateKeyPairSync('ed25519').privateKey
      const hash = privateKey.asymmetricKeyType === 'ed25519' ? null : 'sha256'
      return `${input}.${encode(sign(hash, Buffer.from(input), hash === null ? privateKey : { key: privateKey, dsaEncoding: 'ieee-p1363' }))}`
    }
    /** Another text for the same bytes: the last character has bits that nothing reads. */
    const stray = (part: string) => {
      const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
      return `${part.slice(0, -1)}${alphabet[alphabet.indexOf(part.at(-1)!) ^ 1]}`
    }
    const named = (entries: string[][]) => Object.fromEntries(entries) as Record<string, string>

    const attacks: Record<string, string> = {
      ...named(['none', 'None', 'NONE', 'noNE', ''].flatMap((alg) => [
        [`alg ${JSON.stringify(alg)} and no signature`, unsigned(alg)], [`alg ${JSON.stringify(alg)} and a signature`, `${unsigned(alg)}${signature}`]
      ])),
      'alg missing': forge(key, { typ: 'valet+jwt', kid }, claims),
      'alg a list': withHeader({ alg: [algorithm] }),
      'no signature': `${head}.${body}.`,
      'signature of zeros': `${head}.${body}.${encode(Buffer.alloc(Buffer.from(signature, 'base64url').length))}`,
      'signature of another token': `${head}.${encode(JSON.stringify({ ...claims, scope: '*' }))}.${signature}`,
      'signature cut short': `${head}.${body}.${signature.slice(0, -4)}`,
      'signature with more': `${good}AAAA`,
      'HMAC with another secret': hmac('sha256', Buffer.from('another secret'), 'HS256'),
      'HMAC with an empty secret': hmac('sha256', Buffer.alloc(0), 'HS256'),
      'HS384 with the right secret': hmac('sha384', key.secret, 'HS384'),
      'HS512 with the right secret': hmac('sha512', key.secret, 'HS512'),
      ...(algorithm === 'EdDSA' && named(Object.entries(publicForms(key.secret)).flatMap(([form, secret]) => [
        [`HMAC with the public key as ${form}`, hmac('sha256', secret, 'HS256')], [`the same, said to be EdDSA: ${form}`, hmac('sha256', secret, 'EdDSA')]
      ]))),
      ...(algorithm === 'EdDSA' && { 'the other name of the algorithm': withHeader({ alg: 'Ed25519' }) }),
      'a key of their own, RS256': signed('RS256'),
      'a key of their own, ES256': signed('ES256'),
      'a key of their own, EdDSA': signed('EdDSA'),
      'kid missing': forge(key, { alg: algorithm, typ: 'valet+jwt' }, claims),
      ...named([randomUUID(), '../../dev/null', '/dev/null', "' OR 1=1 --", kid.toUpperCase(), `${kid} `, '', 'k'.repeat(10_000), [kid], null, 7, {}]
        .map((other) => [`kid ${JSON.stringify(other).slice(0, 30)}`, withHeader({ kid: other })])),
      ...named(Object.entries({
        jwk: { kty: 'oct', k: 'AAAA' }, jku: elsewhere, x5u: elsewhere, x5c: ['MIIB'], crit: ['exp'], b64: false, zip: 'DEF', cty: 'JWT', x: 1
      }).map(([name, value]) => [`${name} in the header`, withHeader({ [name]: value })])),
      'a list as header': forge(key, '[]', claims),
      'null as header': forge(key, 'null', claims),
      ...named(['JWT', 'at+jwt', 'dpop+jwt', 'valet+JWT', 'application/valet+jwt', '', null].map((typ) => [`typ ${typ}`, withHeader({ typ })])),
      'typ missing': forge(key, { alg: algorithm, kid }, claims),
      'five parts': `${head}.${body}.${signature}.${body}.${signature}`,
      'four parts': `${good}.`,
      'two parts': `${head}.${body}`,
      'empty parts': '..',
      'JSON serialisation': JSON.stringify({ payload: body, protected: head, signature }).replaceAll('"', '.'),
      ...named((['iss', 'aud', 'sub', 'jti', 'iat', 'nbf', 'exp', 'scope'] as const).flatMap((name) => [
        [`${name} missing`, without(name)], ...[[claims[name]], null, true, {}, ''].map((value) => [`${name} ${JSON.stringify(value)}`, withClaims({ [name]: value })])
      ])),
      'iss of another': withClaims({ iss: 'larder2' }),
      'aud of another': withClaims({ aud: 'Larder' }),
      'jti no UUID': withClaims({ jti: '1' }),
      'scope of nothing that is': withClaims({ scope: 'items:fly' }),
      ...named(['exp', 'iat', 'nbf'].flatMap((name) => [String(now), -1, 0, now + 0.5, 2 ** 60].map((value) =>
        [`${name} ${JSON.stringify(value)}`, withClaims({ [name]: value })]))),
      'exp 1e400': withText(more({ ...claims, exp: undefined }, '"exp":1e400')),
      'over by now': withClaims({ iat: now - 600, nbf: now - 630, exp: now - 1 }),
      'not valid yet': withClaims({ nbf: now + 60 }),
      'issued in the future': withClaims({ iat: now + 60, nbf: now + 60, exp: now + 300 }),
      'longer than any lives': withClaims({ exp: now + 3601 }),
      'valid from long before its issue': withClaims({ nbf: now - 31 }),
      'over before it begins': withClaims({ nbf: now + 300 }),
      'a claim twice': withText(more(claims, `"exp":${now + 200}`)),
      'a claim twice, the same': withText(more(claims, '"scope":"items:read"')),
      'a claim twice, escaped': withText(more(claims, '"\\u0073cope":"*"')),
      'a header member twice': forge(key, more(header, `"alg":"${algorithm}"`), claims),
      'a claim that is not known': withClaims({ admin: true }),
      'a claim named __proto__': withText(more(claims, '"__proto__":{"scope":"*"}')),
      'spaces in the JSON': withText(JSON.stringify(claims, null, 1)),
      'a number spelt otherwise': withText(JSON.stringify({ ...claims, exp: undefined }).slice(0, -1) + `,"exp":${now + 300}.0}`),
      'an end of line behind the JSON': withText(`${JSON.stringify(claims)}\n`),
      'a byte order mark': withText(`\uFEFF${JSON.stringify(claims)}`),
      'no JSON': withText('{'),
      'a list of claims': withText(`[${JSON.stringify(claims)}]`),
      'UTF-16': withText(Buffer.from(JSON.stringify(claims), 'utf16le')),
      'no UTF-8': withText(Buffer.concat([Buffer.from('{"iss":"'), Buffer.of(0xff, 0xfe), Buffer.from('"}')])),
      'thousands of lists in each other': withText('['.repeat(2900) + ']'.repeat(2900)),
      'longer than 8 KiB': withClaims({ vk_resources: ['cache/default/'.padEnd(8000, 'x')] }),
      padding: `${good}=`,
      'padding of the header': `${head}=.${body}.${signature}`,
      'stray bits in the signature': `${head}.${body}.${stray(signature)}`,
      'the alphabet of base64': `${head}.${body}.${Buffer.from(signature, 'base64url').toString('base64').replace(/=+$/, '')}+/`,
      'an end of line behind it': `${good}\n`,
      'a space before it': ` ${good}`,
      'a comma behind it': `${good},`
    }

    t.match(await app.valet.keys.authenticate(good, CALLER), { kind: 'valet_key' }, 'what is forged with a stolen key passes: the forger knows his trade')
    t.equal((await app.inject({ url: '/items', headers: { authorization: `Bearer ${good}` } })).statusCode, 200)

    const expected = (await app.inject({ url: '/items', headers: { authorization: 'Bearer nothing' } })).json<{ instance: string }>()
    for (const [name, token] of Object.entries(attacks)) {
      await t.rejects(async () => await app.valet.keys.authenticate(token, CALLER), { code: 'ERR_UNAUTHORIZED' }, name)
      // What is no header never gets here; what looks like two credentials is none.
      if (/[\s]|[^\x20-\x7e]/.test(token)) continue
      const { statusCode, headers, body: said } = await app.inject({ url: '/items', headers: { authorization: `Bearer ${token}` } })
      t.equal(statusCode, 401, name)
      t.match(headers['www-authenticate'], /^Bearer realm="larder", error="invalid_token"$/)
      t.strictSame({ ...JSON.parse(said) as object, instance: '' }, { ...expected, instance: '' })
    }
    t.equal(connections, 0, 'nothing was fetched')
    t.equal((await app.inject({ url: '/items', headers: { 'x-api-key': good } })).statusCode, 401, 'in x-api-key it is none')
    t.equal((await app.inject({ url: `/items?token=${good}`, remoteAddress: '192.0.2.1' })).statusCode, 401, 'nor in the query')
    t.equal((await app.inject({ url: '/items', headers: { authorization: `Bearer ${good}` } })).statusCode, 200, 'it holds all the same')
  })
}
