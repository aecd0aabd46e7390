import { demonstrateAlone } from './support/demonstrate.js'
import { shortened } from './support/paper.js'
import { ask, curl, tally, type Address, type Credential } from './support/requests.js'
import { within, type Demo, type Stage } from './support/stage.js'

interface Valet extends Credential { readonly id: string }

const demo: Demo = {
  name: 'valet-gatekeeper',
  title: 'a token for a part, for minutes; and a gate that asks for it',

  async run (stage) {
    const [postgres, redis] = await Promise.all([stage.postgres(), stage.redis()])
    const env = { DATABASE_URL: postgres.url, REDIS_URL: redis.url, SECRET_KEY: 'known-to-both-of-them-and-nobody-else', SAMPLE_DATA: 'true' }
    const [a, b] = await Promise.all([stage.larder('Larder A', env), stage.larder('Larder B', env)])

    stage.heading('Recipes are guarded')
    const stranger = await stage.show(a, 'GET /recipes', {}, ['www-authenticate'])
    stage.claim('without a token: 401', stranger.status === 401)
    const reader = await issued(stage, a, 'READER', { scopes: ['recipes:read'] })
    stage.claim('with one for recipes:read: 200', (await stage.show(a, 'GET /recipes', { as: reader })).status === 200)
    stage.claim('from the other process as well', (await ask(b, 'GET /recipes', { as: reader })).status === 200)
    const write = await stage.show(a, 'POST /recipes', { as: reader, body: { title: 'Focaccia' } })
    stage.claim('it reads, and writes nothing: 403', write.status === 403)
    const writer = await issued(stage, a, 'WRITER', { scopes: ['recipes:write'] })
    stage.claim('one for recipes:write writes: 201', (await stage.show(a, 'POST /recipes', { as: writer, body: { title: 'Focaccia' } })).status === 201)
    const remover = await issued(stage, a, 'REMOVER', { scopes: ['recipes:delete'] })
    stage.claim('one for recipes:delete reads nothing: 403', (await stage.show(a, 'GET /recipes', { as: remover })).status === 403)
    const forged: Credential = { name: 'FORGED', token: `${reader.token.slice(0, -6)}AAAAAA` }
    stage.claim('one whose signature was changed: 401', (await stage.show(b, 'GET /recipes', { as: forged })).status === 401)

    stage.heading('Passed on, it can only become less (attenuation)')
    const porter = await issued(stage, a, 'PORTER', { scopes: ['recipes:read', 'valet:issue'], ttl: 60 })
    const narrower = await issued(stage, b, 'NARROWER', { scopes: ['recipes:read'], resources: ['recipes/1'] }, porter)
    stage.claim('the bearer makes one for recipe 1 alone', (await stage.show(a, 'GET /recipes/1', { as: narrower })).status === 200)
    stage.claim('which is no good for all of them: 403', (await stage.show(a, 'GET /recipes', { as: narrower })).status === 403)
    const wider = await stage.show(a, 'POST /valet/token', { as: porter, body: { scopes: ['recipes:write'] } })
    stage.claim('and none for more than it has itself: 403', wider.status === 403)

    stage.heading('For so many requests, and no more')
    const once = await issued(stage, a, 'ONCE', { scopes: ['recipes:read'], max_uses: 1 })
    stage.command(`${curl(a, 'GET /recipes', { as: once })}    # 20 times at once, half of them to B`)
    const uses = await Promise.all(Array.from({ length: 20 }, async (_, n) => (await ask(n % 2 === 0 ? a : b, 'GET /recipes', { as: once })).status))
    stage.claim('max_uses: 1 is one, over all processes', uses.filter((status) => status === 200).length === 1, tally(uses))

    stage.heading('Revoked in one process, over in every other')
    const works = async (credential: Credential): Promise<boolean> => (await ask(b, 'GET /recipes/1', { as: credential })).status !== 401
    stage.claim('B takes the token, and the one that came of it', await works(porter) && await works(narrower))
    await stage.show(a, `DELETE /valet/tokens/${porter.id}`)
    const over = await within(1, async () => !await works(porter) && !await works(narrower))
    stage.claim('within a second B takes neither', over !== undefined, over === undefined ? 'not in time' : `after ${Math.round(over * 1000)} ms`)

    stage.heading('What a caller may not see looks absent')
    await stage.show(a, 'POST /api/cache/set', { body: { key: 'plan', value: 'secret', namespace: 'board', backend: 'redis' } })
    const body = { name: 'shop', scopes: ['cache:read', 'cache:write'], namespaces: ['shop'] }
    stage.command(curl(a, 'POST /keys', { body }))
    const { body: { key, ...rest } } = await ask<{ key: string }>(a, 'POST /keys', { body })
    const shop: Credential = { name: 'SHOP', token: key }
    stage.print(`201  ${shortened(JSON.stringify({ key: `${key.slice(0, 12)}…`, ...rest }), 120)}    # SHOP`)
    const hidden = await stage.show<{ found: boolean }>(a, 'GET /api/cache/get/plan?namespace=board&backend=redis', { as: shop })
    const nothing = await ask<{ found: boolean }>(a, 'GET /api/cache/get/nothing?namespace=board&backend=redis', { as: shop })
    stage.claim('what is there answers as what is not: found is false', hidden.status === 200 && !hidden.body.found && nothing.status === 200 && !nothing.body.found)
    const intrusion = await stage.show(a, 'POST /api/cache/set', { as: shop, body: { key: 'plan', value: 'mine', namespace: 'board', backend: 'redis' } })
    stage.claim('to write there is 403', intrusion.status === 403)
    const plan = await ask<{ cache_item: { value: string } }>(b, 'GET /api/cache/get/plan?namespace=board&backend=redis')
    stage.claim('and nothing was changed', plan.body.cache_item.value === 'secret')

    stage.heading('All of it stands in the audit log')
    interface Entry { action: string, outcome: string }
    let entries: Entry[] = []
    const isWritten = await within(5, async () => {
      entries = (await ask<{ entries: Entry[] }>(a, 'GET /audit?limit=1000')).body.entries
      return ['valet.issue', 'valet.revoke', 'key.issue'].every((action) => entries.some((entry) => entry.action === action)) && entries.some(({ outcome }) => outcome === 'denied')
    })
    await stage.show(a, 'GET /audit?limit=1')
    stage.claim('what was issued, revoked and denied', isWritten !== undefined, tally(entries.map(({ action, outcome }) => `${action} (${outcome})`)))
    const tokens = [reader, writer, remover, porter, narrower, once, shop].map(({ token }) => token)
    const trail = (await ask(a, 'GET /audit?limit=1000')).text
    stage.claim('without a single token', !tokens.some((token) => trail.includes(token)))
  }
}

/** Issues a valet key before everybody's eyes; what is printed of it does not open anything. */
async function issued (stage: Stage, larder: Address, name: string, body: object, as?: Credential): Promise<Valet> {
  stage.command(curl(larder, 'POST /valet/token', { body, ...as && { as } }))
  const { status, body: { token, id, ...rest } } = await ask<{ token: string, id: string }>(larder, 'POST /valet/token', { body, ...as && { as } })
  if (status !== 201) throw new Error(`No token was issued: ${status} ${JSON.stringify(rest)}`)
  stage.print(`${status}  {"token":"${token.slice(0, 12)}…","id":"${id}",…}    # ${name}`)
  return { name, token, id }
}

export default demo
await demonstrateAlone(import.meta.url, demo)
