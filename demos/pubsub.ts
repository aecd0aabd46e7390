import { Redis } from 'ioredis'
import { demonstrateAlone } from './support/demonstrate.js'
import { Listener } from './support/listener.js'
import { ask, curl, tally, type Address } from './support/requests.js'
import { within, type Demo } from './support/stage.js'

interface AuditPage { entries: { resource: string }[] }

const POSTS = 400
/** How many of them are sent at once. */
const WRITERS = 20
const TYPES = 'types=post.*,kitchen.*'

const demo: Demo = {
  name: 'pubsub',
  title: 'events reach everybody once, whoever dies meanwhile',

  async run (stage) {
    const [postgres, redis] = await Promise.all([stage.postgres(), stage.redis()])
    const env = { DATABASE_URL: postgres.url, REDIS_URL: redis.url, RATE_LIMITS: '1000000/minute', WORKER: 'false', EVENT_CLAIM_AFTER: '3' }
    const [a, b] = await Promise.all([stage.larder('Larder A', env), stage.larder('Larder B', env)])

    stage.heading('Published to one process, heard at the other')
    stage.command(`${curl(b, `GET /events?${TYPES}`)} -N    # a listener, which stays`)
    let listener = await Listener.open(b, `/events?${TYPES}`)
    await stage.show(a, 'POST /events', { body: { channel: 'kitchen', event: { type: 'opened', by: 'Ada' } } })
    const heard = await within(2, () => listener.heard.length > 0)
    stage.claim('the listener at B has it', heard !== undefined && listener.heard[0]?.type === 'kitchen.opened', heard === undefined ? 'not in time' : `after ${Math.round(heard * 1000)} ms`)

    stage.heading(`${POSTS} posts are written, and the listener is cut off in the middle`)
    stage.command(`${curl(a, 'POST /api/posts/', { body: { title: 'Post 1' } })}    # and ${POSTS - 1} more, half of them to B`)
    const statuses: number[] = []
    let [next, cut] = [1, 0]
    const write = async (): Promise<void> => {
      while (next <= POSTS) {
        const n = next++
        statuses.push((await ask(n % 2 === 0 ? a : b, 'POST /api/posts/', { body: { title: `Post ${n}` } })).status)
        if (cut === 0 && listener.heard.length > POSTS / 8) {
          listener.close()
          cut = listener.heard.length
        }
      }
    }
    await Promise.all(Array.from({ length: WRITERS }, write))
    stage.claim('all are written', statuses.every((status) => status === 201), tally(statuses))
    listener.close()
    const first = listener.heard.slice(0, cut || undefined)
    const last = first.at(-1)?.id ?? ''
    stage.say(`It has heard ${first.length} events, and comes again with the id of the last:`)
    stage.command(`${curl(a, `GET /events?${TYPES}`, { headers: { 'last-event-id': last } })} -N    # at the other process`)
    listener = await Listener.open(a, `/events?${TYPES}`, last)
    const isWhole = await within(10, () => first.length + listener.heard.length >= POSTS + 1)
    const titles = [...first, ...listener.heard].flatMap(({ type, data }) => type === 'post.created' ? [JSON.stringify(data['subject'])] : [])
    stage.claim('it goes on without a gap and without a repetition', isWhole !== undefined && titles.length === POSTS && new Set(titles).size === POSTS,
      `${first.length} + ${listener.heard.length} events, ${new Set(titles).size} different posts`)
    listener.close()

    stage.heading('Nobody has worked so far: a worker begins, and is killed')
    stage.say('What is to be done about an event, such as writing the audit trail, is done by workers. There was none (WORKER=false), so that all of it waits.')
    stage.claim('nothing is in the audit trail', (await trail(a)).length === 0)
    const one = await stage.worker('Worker 1', env)
    await within(10, async () => (await trail(a)).length > 0)
    stage.command(`kill -KILL ${one.pid}    # Worker 1, as soon as it has begun`)
    await one.kill()
    const done = (await trail(a)).length
    stage.say(`It has done ${done} of ${POSTS}, and held ${await inHand(redis.url)} more in its hands.`)
    stage.claim('it was not through', done < POSTS)

    stage.heading('Another one takes over')
    const two = await stage.worker('Worker 2', env)
    const through = await within(40, async () => (await trail(a)).length >= POSTS)
    const resources = (await trail(a)).map(({ resource }) => resource)
    stage.claim('nothing is lost', new Set(resources).size === POSTS, `${new Set(resources).size} of ${POSTS}, ${through === undefined ? 'not in time' : `after ${through.toFixed(1)} s`}`)
    stage.claim('nothing is done twice', resources.length === new Set(resources).size)
    const ended = await within(10, async () => await inHand(redis.url) === 0)
    stage.claim('what Worker 1 held was claimed, and is done', ended !== undefined)
    const { body } = await stage.show<{ dead_letters: unknown[] }>(a, 'GET /events/dead-letters')
    stage.claim('nothing had to be given up', body.dead_letters.length === 0)

    stage.heading('With the worker there, an event is done at once')
    await ask(a, 'POST /api/posts/', { body: { title: 'The last' } })
    const atOnce = await within(5, async () => (await trail(a)).length === POSTS + 1)
    stage.claim('the audit trail has it', atOnce !== undefined, atOnce === undefined ? `not in time, pid ${two.pid}` : `after ${Math.round(atOnce * 1000)} ms`)
  }
}

/** What the audit trail says of new posts: a consumer of events writes it. */
async function trail (larder: Address): Promise<AuditPage['entries']> {
  return (await ask<AuditPage>(larder, 'GET /audit?action=post.created&limit=1000')).body.entries
}

/** Events that a worker has taken for the audit trail and not finished: Redis knows. */
async function inHand (url: string): Promise<number> {
  const client = new Redis(url)
  try {
    const [pending] = await client.xpending('larder:{events}', 'audit') as [number]
    return pending
  } finally {
    client.disconnect()
  }
}

export default demo
await demonstrateAlone(import.meta.url, demo)
