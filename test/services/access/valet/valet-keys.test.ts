import t, { type Test } from 'tap'
import { AddressList } from '../../../../services/access/address-list.js'
import type { Principal } from '../../../../services/access/principal.js'
import { ResourceList } from '../../../../services/access/resources.js'
import { ScopeSet } from '../../../../services/access/scopes.js'
import type { Asked } from '../../../../services/access/valet/grant.js'
import { eventually } from '../../../support/caches.js'
import { openDatabase } from '../../../support/database.js'
import { databaseUrl } from '../../../support/servers.js'
import { ADMINISTRATOR, CALLER, forge, LOCAL, openIssuing, stolenKey, type IssuingOptions } from './issuing.js'

/** The clock of the service; that of the database goes on by itself. */
const NOON = Math.floor(Date.now() / 1000) * 1000
const FORBIDDEN = { code: 'ERR_FORBIDDEN' }
const UNAUTHORIZED = { code: 'ERR_UNAUTHORIZED' }

async function open (t: Test, options: IssuingOptions = {}) {
  const { database } = await openDatabase(t, await databaseUrl(t))
  return { database, ...await openIssuing(t, database, options) }
}

t.test('a valet key', async (t) => {
  const clock = { now: NOON }
  const ends = new Map<string, number>()
  const { keys, ledger, bearer } = await open(t, { now: () => clock.now, endOf: (id) => ends.get(id) })
  const KEY: Principal = {
    kind: 'api_key',
    id: 'key:k1',
    scopes: ScopeSet.of(['cache:*', 'valet:issue'], ['cache:delete']),
    namespaces: new Set(['a', 'b']),
    expiresAt: NOON + 600_000,
    rateLimits: '10/minute'
  }
  ends.set('k1', NOON + 600_000)
  const issue = async (issuer: Principal, asked: Partial<Asked> = {}) => await keys.issue(issuer, { scopes: ['cache:read'], ...asked })

  t.test('carries what was asked for, and is known by it', async (t) => {
    const { id, token } = await issue(ADMINISTRATOR, {
      scopes: ['cache:read', 'items:*'], namespaces: ['a'], resources: ['cache/a/user:*'], addresses: ['10.0.0.0/8'], maxBytes: 1000, ttl: 60
    })
    const principal = await bearer(token, { ip: '10.1.2.3', headers: { authorization: `Bearer ${token}` } })
    t.match(principal, { kind: 'valet_key', id: `valet:${id}`, maxBytes: 1000, lineage: [id], expiresAt: NOON + 60_000, spend: undefined })
    t.strictSame(principal.scopes.permissions(), ['cache:read', 'items:read', 'items:write', 'items:delete'])
    t.strictSame([...principal.namespaces ?? []], ['a'])
    t.strictSame(principal.resources?.patterns, ['cache/a/user:*'])
  })

  t.test('has what its issuer has where nothing is asked for', async (t) => {
    const { token, grant } = await issue(KEY)
    t.match(await bearer(token), { rateLimits: '10/minute', expiresAt: NOON + 300_000, apiKey: 'k1' })
    t.strictSame([...(await bearer(token)).namespaces ?? []], ['a', 'b'])
    t.match(grant, { namespaces: ['a', 'b'], resources: undefined })
  })

  const LIMITED: Principal = {
    ...KEY, resources: new ResourceList(['cache/a/user:*']), addresses: new AddressList(['10.0.0.0/8', '2001:db8::/32']), maxBytes: 100
  }
  const wider: Record<string, Partial<Asked>> = {
    'a scope': { scopes: ['items:read'] },
    'a scope that is forbidden to the issuer': { scopes: ['cache:delete'] },
    'all actions, one of them forbidden': { scopes: ['cache:*'] },
    'all scopes': { scopes: ['*'] },
    'a namespace': { namespaces: ['a', 'c'] },
    'a resource': { resources: ['cache/a/*'] },
    'a resource beside': { resources: ['cache/a/user:*', 'cache/a/users'] },
    'a resource of another namespace': { resources: ['cache/c/user:1'] },
    'an address': { addresses: ['11.0.0.1'] },
    'a range of addresses': { addresses: ['10.0.0.0/7'] },
    'all addresses': { addresses: ['0.0.0.0/0', '::/0'] },
    'more bytes': { maxBytes: 101 },
    'a longer life': { ttl: 700 }
  }
  for (const [what, asked] of Object.entries(wider)) {
    t.test(`has no more than its issuer: ${what}`, async (t) => { await t.rejects(issue(LIMITED, asked), FORBIDDEN) })
  }

  t.test('may have as much as its issuer, or less', async (t) => {
    const { token } = await issue(LIMITED, {
      scopes: ['cache:read'], namespaces: ['a'], resources: ['cache/a/user:7'], addresses: ['10.9.0.0/16', '::ffff:10.1.1.1', '2001:db8:1::1'], maxBytes: 100, ttl: 600
    })
    for (const address of ['10.9.9.9', '::ffff:10.9.9.9', '::ffff:0a09:0909', '10.1.1.1', '2001:db8:1::1']) {
      t.match(await bearer(token, { ip: address, headers: { authorization: `Bearer ${token}` } }), { kind: 'valet_key' }, address)
    }
    for (const address of ['10.8.0.1', '::ffff:10.8.0.1', '2001:db8:1::2', '127.0.0.1', '']) {
      await t.rejects(bearer(token, { ip: address, headers: { authorization: `Bearer ${token}` } }), FORBIDDEN, address)
    }
  })

  t.test('is refused where nobody can be given it', async (t) => {
    await t.rejects(issue(ADMINISTRATOR, { scopes: ['cache:fly'] }), { code: 'ERR_INVALID_INPUT' })
    for (const resources of [['recipe/7'], ['cache'], ['cache/'], ['/cache/a'], ['*'], ['recipes/7'.padEnd(1300, 'x')], Array.from({ length: 51 }, (_, n) => `items/${n}`)]) {
      await t.rejects(issue(ADMINISTRATOR, { resources }), { code: 'ERR_INVALID_INPUT' }, String(resources).slice(0, 20))
    }
    for (const addresses of [['example.com'], ['10.0.0.0/33'], ['::/129'], ['10.0.0'], ['fe80::1%eth0'], ['10.0.0.0/-1'], ['']]) {
      await t.rejects(issue(ADMINISTRATOR, { addresses }), { code: 'ERR_INVALID_INPUT' }, String(addresses))
    }
    for (const ttl of [3600.5, 4000, 0, 1e9]) await t.rejects(issue(ADMINISTRATOR, { ttl }), { code: 'ERR_UNSUPPORTED_HERE' }, String(ttl))
    await t.rejects(issue(ADMINISTRATOR, { notBefore: NOON + 300_000 }), { code: 'ERR_UNSUPPORTED_HERE' })
    await t.rejects(issue(ADMINISTRATOR, { resources: Array.from({ length: 50 }, (_, n) => `items/${n}`.padEnd(400, 'x')) }), { code: 'ERR_UNSUPPORTED_HERE' }, 'longer than a header')
  })

  t.test('has a time: not before its beginning, and not at its end', async (t) => {
    const { token } = await issue(ADMINISTRATOR, { ttl: 60, notBefore: NOON + 20_000 })
    for (const [seconds, holds] of [[0, false], [19.999, false], [20, true], [59.999, true], [60, false], [100, false]] as const) {
      clock.now = NOON + seconds * 1000
      if (holds) t.match(await bearer(token), { kind: 'valet_key' }, `${seconds} s`)
      else await t.rejects(bearer(token), UNAUTHORIZED, `${seconds} s`)
    }
    clock.now = NOON
  })

  t.test('is taken by a machine whose clock is half a minute behind, and no more', async (t) => {
    const { token } = await issue(ADMINISTRATOR, { ttl: 60 })
    for (const [skew, holds] of [[-30, true], [-31, false], [59, true], [60, false]] as const) {
      clock.now = NOON + skew * 1000
      if (holds) t.match(await bearer(token), { kind: 'valet_key' }, `${skew} s`)
      else await t.rejects(bearer(token), UNAUTHORIZED, `${skew} s`)
    }
    clock.now = NOON
  })

  t.test('ends with the API key that issued it, or that issued what it comes from', async (t) => {
    const parent = await issue(KEY, { scopes: ['cache:read', 'valet:issue'] })
    const child = await issue(await bearer(parent.token), {})
    ends.set('k1', NOON + 10_000)
    t.equal((await bearer(child.token)).expiresAt, NOON + 10_000, 'with its new end, where it got one')
    ends.delete('k1')
    for (const { token } of [parent, child]) await t.rejects(bearer(token), UNAUTHORIZED)
    ends.set('k1', NOON + 600_000)
    t.match(await bearer(child.token), { kind: 'valet_key' })
  })

  t.test('can be passed on in narrower form, so many times', async (t) => {
    const first = await issue(ADMINISTRATOR, { scopes: ['cache:*', 'valet:issue'], namespaces: ['a', 'b'], ttl: 100, maxBytes: 50 })
    const holder = await bearer(first.token)
    for (const asked of [{ scopes: ['items:read'] }, { namespaces: ['c'] }, { ttl: 101 }, { maxBytes: 51 }] as Partial<Asked>[]) {
      await t.rejects(issue(holder, asked), FORBIDDEN)
    }
    const second = await issue(holder, { namespaces: ['a'] })
    t.match(await bearer(second.token), { lineage: [first.id, second.id], maxBytes: 50, expiresAt: NOON + 100_000 }, 'and lives no longer, though more is usual')
    t.notOk((await bearer(second.token)).scopes.has('valet:issue'), 'and not again, unless that was asked for')
    t.match(await ledger.get(ADMINISTRATOR, second.id), { parent: first.id, issuer: `valet:${first.id}` })

    let last = holder
    for (let depth = 1; depth <= 5; depth++) last = await bearer((await issue(last, { scopes: ['cache:read', 'valet:issue'] })).token)
    await t.rejects(issue(last), FORBIDDEN)
  })

  t.test('takes with it, when it is revoked, what comes from it', async (t) => {
    const [root, other] = [await issue(LOCAL, { scopes: ['items:read', 'valet:issue'] }), await issue(LOCAL)]
    const child = await issue(await bearer(root.token), { scopes: ['items:read', 'valet:issue'] })
    const holder = await bearer(child.token)
    const grandchild = await issue(holder, { scopes: ['items:read'] })
    await ledger.revoke(ADMINISTRATOR, root.id)
    for (const { token, id } of [root, child, grandchild]) {
      await t.rejects(bearer(token), UNAUTHORIZED)
      t.match(await ledger.get(ADMINISTRATOR, id), { state: 'revoked', revokedBy: 'administrator' })
    }
    await t.rejects(issue(holder, { scopes: ['items:read'] }), UNAUTHORIZED, 'and whoever was just let in hands nothing on')
    t.match(await bearer(other.token), { kind: 'valet_key' })
  })

  t.test('is revoked with all of its issuer, or of its policy', async (t) => {
    const issuer: Principal = { ...ADMINISTRATOR, id: 'somebody' }
    const [a, b, c] = [await issue(issuer, { policy: 'p' }), await issue(issuer, { policy: 'q' }), await issue(LOCAL, { policy: 'q' })]
    t.equal(await ledger.revokeAll(ADMINISTRATOR, { issuer: issuer.id, policy: 'q' }), 1)
    await t.rejects(bearer(b.token), UNAUTHORIZED)
    t.match([await bearer(a.token), await bearer(c.token)], [{}, {}])
    t.equal(await ledger.revokeAll(ADMINISTRATOR, { policy: 'q' }), 1)
    t.equal(await ledger.revokeAll(ADMINISTRATOR, { issuer: issuer.id }), 1)
    for (const { token } of [a, b, c]) await t.rejects(bearer(token), UNAUTHORIZED)
    t.equal(await ledger.revokeAll(ADMINISTRATOR, { issuer: issuer.id }), 0)
  })

  t.test('exists for its issuer, for who it comes from, and for who is not limited', async (t) => {
    const root = await issue(KEY, { scopes: ['cache:read', 'valet:issue'] })
    const child = await issue(await bearer(root.token))
    const stranger: Principal = { ...KEY, id: 'key:k2' }
    for (const viewer of [ADMINISTRATOR, await bearer(root.token)]) t.match(await ledger.get(viewer, child.id), { id: child.id })
    for (const viewer of [stranger, KEY]) await t.rejects(ledger.get(viewer, child.id), { code: 'ERR_NOT_FOUND' })
    t.match(await ledger.get(KEY, root.id), { id: root.id })
    await t.rejects(ledger.revoke(stranger, root.id), { code: 'ERR_NOT_FOUND' })
    t.equal(await ledger.revokeAll(stranger, { issuer: KEY.id }), 0)
    t.notOk((await ledger.list(stranger, {}, { limit: 1000 })).tokens.some(({ id }) => id === root.id))
  })
})

t.test('uses', async (t) => {
  const { database, keys, ledger, bearer } = await open(t)
  const issue = async (issuer: Principal, asked: Partial<Asked> = {}) => await keys.issue(issuer, { scopes: ['cache:read', 'valet:issue'], ...asked })
  const outcomes = async (spenders: Principal[]) => (await Promise.allSettled(spenders.map(async ({ spend }) => { await spend!() })))
    .map((result) => result.status === 'fulfilled' ? 'ok' : (result.reason as { code: string }).code)

  t.test('are counted together however many come at once', async (t) => {
    const { token, id } = await issue(ADMINISTRATOR, { maxUses: 5 })
    const holder = await bearer(token)
    const all = await outcomes(Array.from({ length: 40 }, () => holder))
    t.equal(all.filter((outcome) => outcome === 'ok').length, 5)
    t.equal(all.filter((outcome) => outcome === 'ERR_VALET_KEY_EXHAUSTED').length, 35)
    t.match(await ledger.get(ADMINISTRATOR, id), { uses: 5, maxUses: 5, state: 'exhausted' })
  })

  t.test('are shared with what comes from it, which cannot have more', async (t) => {
    const root = await issue(ADMINISTRATOR, { maxUses: 10 })
    const holder = await bearer(root.token)
    await holder.spend!()
    await t.rejects(issue(holder, { maxUses: 10 }), FORBIDDEN)
    const children = await Promise.all([issue(holder), issue(holder, { maxUses: 4 }), issue(holder)])
    const holders = await Promise.all(children.map(async ({ token }) => await bearer(token)))
    const all = await outcomes(Array.from({ length: 60 }, (_, n) => [...holders, holder][n % 4]!))
    t.equal(all.filter((outcome) => outcome === 'ok').length, 9, 'never one more, and all that there are')
    t.equal((await ledger.get(ADMINISTRATOR, root.id)).uses, 10)
    const counts = await Promise.all(children.map(async ({ id }) => (await ledger.get(ADMINISTRATOR, id)).uses))
    t.ok(counts[1]! <= 4)
    t.match(await Promise.all(children.map(async ({ id }) => (await ledger.get(ADMINISTRATOR, id)).state)), ['exhausted', 'exhausted', 'exhausted'])
  })

  t.test('are over when it is revoked, or not there any more', async (t) => {
    const { token, id } = await issue(ADMINISTRATOR, { maxUses: 5 })
    const holder = await bearer(token)
    await ledger.revoke(ADMINISTRATOR, id)
    await t.rejects(holder.spend!(), UNAUTHORIZED)
    await database.query({ text: 'DELETE FROM valet_tokens WHERE id = $1', values: [id] })
    await t.rejects(holder.spend!(), { code: 'ERR_VALET_KEY_EXHAUSTED' })
  })

  t.test('what expired long ago is swept, and nothing else', async (t) => {
    const { id } = await issue(ADMINISTRATOR)
    const { id: old } = await issue(ADMINISTRATOR)
    await database.query({ text: "UPDATE valet_tokens SET expires_at = now() - interval '2 days' WHERE id = $1", values: [old] })
    t.equal(await ledger.sweep(), 1)
    t.match(await ledger.get(ADMINISTRATOR, id), { state: 'live' })
    await t.rejects(ledger.get(ADMINISTRATOR, old), { code: 'ERR_NOT_FOUND' })
  })

  t.test('pages of the list lead through all of it', async (t) => {
    const policy = 'pages'
    const ids: string[] = []
    for (let n = 0; n < 5; n++) ids.push((await issue(ADMINISTRATOR, { policy })).id)
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page = await ledger.list(ADMINISTRATOR, { policy }, { limit: 2, cursor })
      seen.push(...page.tokens.map(({ id }) => id))
      cursor = page.next.next_cursor
    } while (cursor !== undefined)
    t.strictSame(seen, ids)
  })
})

t.test('two processes', async (t) => {
  const { database } = await openDatabase(t, await databaseUrl(t))
  const [a, b] = await Promise.all([openIssuing(t, database), openIssuing(t, database)])
  const asked: Asked = { scopes: ['cache:read'] }

  t.test('that start at once sign with one key', async (t) => {
    t.equal((await a.signing.list(database)).length, 1)
    t.match(await b.bearer((await a.keys.issue(ADMINISTRATOR, asked)).token), { kind: 'valet_key' })
  })

  t.test('take what is signed with a new key at once, and what was signed with the one before', async (t) => {
    for (let round = 0; round < 10; round++) {
      const [one, other] = round % 2 === 0 ? [a, b] : [b, a]
      const before = await other.keys.issue(ADMINISTRATOR, asked)
      const kid = await one.signing.rotate(ADMINISTRATOR)
      const after = await one.keys.issue(ADMINISTRATOR, asked)
      for (const { token } of [before, after]) t.match(await Promise.all([other.bearer(token), one.bearer(token)]), [{}, {}])
      t.equal((await other.keys.issue(ADMINISTRATOR, asked)).token.split('.').length, 3)
      t.equal((await other.signing.current()).kid, kid, 'who issues has the new one too')
    }
    const states = (await a.signing.list(database)).map(({ state }) => state)
    t.strictSame([states[0], new Set(states.slice(1))], ['signing', new Set(['verifying'])])
  })

  t.test('stop taking what is signed with a key that was retired', async (t) => {
    const { token } = await a.keys.issue(ADMINISTRATOR, asked)
    const { kid } = await a.signing.current()
    await b.signing.retire(kid, ADMINISTRATOR)
    await t.rejects(b.bearer(token), UNAUTHORIZED, 'at once where that was said')
    await eventually(async () => await a.bearer(token).then(() => false, () => true), 'the other has heard of it', 5000)
    t.match(await a.bearer((await a.keys.issue(ADMINISTRATOR, asked)).token), {})
    await b.signing.retire(kid, ADMINISTRATOR)
    await t.rejects(b.signing.retire('none', ADMINISTRATOR), { code: 'ERR_NOT_FOUND' })

    const tokens = [await a.keys.issue(ADMINISTRATOR, asked), await b.keys.issue(ADMINISTRATOR, asked)]
    await a.signing.rotate(ADMINISTRATOR, { retire: true })
    for (const { token } of tokens) {
      await t.rejects(a.bearer(token), UNAUTHORIZED)
      await eventually(async () => await b.bearer(token).then(() => false, () => true), 'the other has heard of it', 5000)
    }
  })

  t.test('hear of revocations, and so does one that starts later', async (t) => {
    const { token, id } = await a.keys.issue(ADMINISTRATOR, asked)
    t.match(await b.bearer(token), {})
    const { epoch } = b.keys
    await a.ledger.revoke(ADMINISTRATOR, id)
    await eventually(async () => await b.bearer(token).then(() => false, () => true), 'the other has heard of it', 5000)
    t.not(b.keys.epoch, epoch, 'and what it remembers it has to ask about again')
    const c = await openIssuing(t, database)
    await t.rejects(c.bearer(token), UNAUTHORIZED)
  })

  t.test('replace the secret that seals, one after the other', async (t) => {
    const { token } = await a.keys.issue(ADMINISTRATOR, asked)
    const both = await openIssuing(t, database, { secrets: ['the-new-secret-of-them-all', 'a-secret-that-only-the-tests-have'] })
    t.match(await both.bearer(token), {}, 'the new one, with the old one behind it, opens what the old one has sealed')
    await both.signing.rotate(ADMINISTRATOR)
    const { token: fresh } = await both.keys.issue(ADMINISTRATOR, asked)
    const alone = await openIssuing(t, database, { secrets: ['the-new-secret-of-them-all'] })
    t.match(await alone.bearer(fresh), {}, 'and seals what is new')
    await t.rejects(alone.bearer(token), { code: 'ERR_UNAVAILABLE' }, 'what only the old one opens cannot be said')
    t.match(alone.logged, [/sealed under another SECRET_KEY/])
  })

  t.test('with different secrets go on, each by itself, and say so', async (t) => {
    const stranger = await openIssuing(t, database, { secrets: ['the-secret-of-somebody-else'] })
    const { token } = await stranger.keys.issue(ADMINISTRATOR, asked)
    t.match(await stranger.bearer(token), {})
    await t.rejects(a.bearer(token), { code: 'ERR_UNAVAILABLE' })
    t.match(stranger.logged[0], /sealed under another SECRET_KEY/)
  })

  t.test('a key that nobody knows is looked for in one pace, however many come with one', async (t) => {
    const key = await stolenKey(database, 'the-secret-of-somebody-else')
    const begun = performance.now()
    const strangers = Array.from({ length: 200 }, (_, n) => forge(key, { alg: 'HS256', typ: 'valet+jwt', kid: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}` }, {}))
    let looks = 0
    const query = database.query.bind(database)
    t.intercept(database, 'query', { value: (async (statement) => { looks++; return await query(statement) }) as typeof query })
    for (const result of await Promise.allSettled(strangers.map(async (token) => await a.bearer(token)))) t.equal(result.status, 'rejected')
    t.ok(looks < 20 + (performance.now() - begun) / 5, `${looks} looks`)
  })
})

t.test('one that was issued under one algorithm is nothing under the other', async (t) => {
  const { database } = await openDatabase(t, await databaseUrl(t))
  const [a, b] = [await openIssuing(t, database), await openIssuing(t, database, { algorithm: 'EdDSA' })]
  const { token } = await a.keys.issue(ADMINISTRATOR, { scopes: ['cache:read'] })
  await t.rejects(b.bearer(token), UNAUTHORIZED)
  const other = await b.keys.issue(ADMINISTRATOR, { scopes: ['cache:read'] })
  t.match(await b.bearer(other.token), {})
  await t.rejects(a.bearer(other.token), UNAUTHORIZED)
  t.strictSame(a.signing.published(), [])
  const [published] = b.signing.published()
  t.match(published, { kty: 'OKP', crv: 'Ed25519', use: 'sig', alg: 'EdDSA', kid: (await b.signing.current()).kid })
  t.strictSame(Object.keys(published!).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x'], 'and nothing private')
  t.strictSame(await b.bearer(other.token, CALLER).then(({ kind }) => kind), 'valet_key')
})
