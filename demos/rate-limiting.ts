import { setTimeout as delay } from 'node:timers/promises'
import { demonstrateAlone } from './support/demonstrate.js'
import { ask, curl, tally, type Address, type Answer, type Credential } from './support/requests.js'
import { within, type Demo } from './support/stage.js'

/** Requests of one caller. An hour, so that nobody gets a new one while this runs. */
const QUOTA = 20

const demo: Demo = {
  name: 'rate-limiting',
  title: 'all processes count together over Redis, and each by itself while Redis is down',

  async run (stage) {
    const [postgres, redis] = await Promise.all([stage.postgres(), stage.redis()])
    const env = { DATABASE_URL: postgres.url, REDIS_URL: redis.url, RATE_LIMITS: `${QUOTA}/hour`, SECRET_KEY: 'known-to-both-of-them-and-nobody-else' }
    const [a, b] = await Promise.all([stage.larder('Larder A', env), stage.larder('Larder B', env)])
    const both = [a, b]

    stage.heading(`One caller may make ${QUOTA} requests an hour (RATE_LIMITS=${QUOTA}/hour), however many processes there are`)
    const ada = await caller(a, 'ADA')
    stage.say('A caller is a credential, here a valet key; without one it would be an address.')
    const first = await stage.show(a, 'GET /user/Ada', { as: ada }, ['ratelimit-policy', 'ratelimit'])
    stage.claim('the answer says what is left, in the IETF’s headers', first.status === 200 && first.headers.get('ratelimit')?.includes(`r=${QUOTA - 1}`) === true)
    stage.command(`${curl(a, 'GET /user/Ada', { as: ada })}    # ${QUOTA + 10 - 1} times more, half of them to B`)
    const burst = [first, ...await send(both, ada, QUOTA + 10 - 1)]
    stage.claim(`of ${QUOTA + 10} requests ${QUOTA} are answered, over both together`, served(burst) === QUOTA, statuses(burst))
    const refused = await stage.show(b, 'GET /user/Ada', { as: ada }, ['retry-after'])
    stage.claim('who is over the limit is told when to come again: Retry-After', refused.status === 429 && Number(refused.headers.get('retry-after')) > 0)
    stage.claim('and in words', /violated-policies/.test(refused.text))
    const bob = await caller(a, 'BOB')
    stage.claim('another caller is not concerned', (await ask(b, 'GET /user/Bob', { as: bob })).status === 200)

    stage.heading('Who waits as long as Retry-After says gets through')
    const quick = await keyHolder(a, 'QUICK', '3/second')
    const hasty = await send([a], quick, 8)
    const wait = Number(hasty.find(({ status }) => status === 429)?.headers.get('retry-after'))
    stage.say(`An API key with a limit of its own, 3/second: eight requests at once give ${statuses(hasty)}, and Retry-After: ${wait}.`)
    await delay(wait * 1000)
    stage.claim(`after ${wait} s the next one is answered`, (await ask(a, 'GET /user/Quick', { as: quick })).status === 200)

    stage.heading('Redis is killed')
    const [cy, dee] = [await caller(a, 'CY'), await caller(a, 'DEE')]
    stage.command(`kill -KILL ${redis.pid}    # Redis`)
    await redis.kill()
    const alone = await send([a], cy, QUOTA + 10)
    stage.claim('the limit goes on in each process by itself', served(alone) === QUOTA, `A: ${statuses(alone)}`)
    const other = await send([b], cy, QUOTA + 10)
    stage.claim('at the full quota each, for nobody can tell what the other has counted', served(other) === QUOTA, `B: ${statuses(other)}`)
    const degraded = await stage.show(a, 'GET /user/Dee', { as: dee }, ['ratelimit'])
    stage.claim('answers say so', degraded.status === 200 && degraded.headers.get('ratelimit')?.includes('per-process') === true)
    const all = [...alone, ...other, degraded]
    stage.claim('and there is no 500 among them', all.every(({ status }) => status === 200 || status === 429), statuses(all))

    stage.heading('Redis is back')
    await redis.restart()
    // The probe costs a request, of a caller with enough of them.
    const probe = await keyHolder(a, 'PROBE', '1000000/second')
    const shared = async (larder: Address): Promise<boolean> =>
      /^larder_rate_limit_per_process 0$/m.test((await ask(larder, 'GET /user/Probe', { as: probe }), await ask(larder, 'GET /metrics', { as: probe })).text)
    const back = await within(15, async () => await shared(a) && await shared(b))
    stage.claim('both count over it again', back !== undefined, back === undefined ? 'not within 15 s' : `after ${back.toFixed(1)} s`)
    const eve = await caller(a, 'EVE')
    const again = await send(both, eve, QUOTA + 10)
    stage.claim('and together', served(again) === QUOTA, statuses(again))
  }
}

/** A valet key: every process takes it at once. */
async function caller (larder: Address, name: string): Promise<Credential> {
  const { status, text, body: { token } } = await ask<{ token: string }>(larder, 'POST /valet/token', { body: { scopes: ['metrics:read'], ttl: 600 } })
  if (status !== 201) throw new Error(`No token for ${name}: ${text}`)
  return { name, token }
}

/** An API key with a limit of its own. The other process knows it within a second. */
async function keyHolder (larder: Address, name: string, limit: string): Promise<Credential> {
  const { status, text, body: { key } } = await ask<{ key: string }>(larder, 'POST /keys', { body: { name, scopes: ['metrics:read'], rate_limit: limit } })
  if (status !== 201) throw new Error(`No key for ${name}: ${text}`)
  return { name, token: key }
}

/** So many requests at once, in turn to each. */
async function send (larders: readonly Address[], as: Credential, count: number): Promise<Answer[]> {
  return await Promise.all(Array.from({ length: count }, async (_, n) => await ask(larders[n % larders.length]!, `GET /user/${as.name}`, { as })))
}

const served = (answers: readonly Answer[]): number => answers.filter(({ status }) => status === 200).length
const statuses = (answers: readonly Answer[]): string => tally(answers.map(({ status }) => status))

export default demo
await demonstrateAlone(import.meta.url, demo)
