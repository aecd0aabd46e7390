import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { eventually } from './support/caches.js'
import { type Service, startService } from './support/service.js'
import { temporaryFolder } from './support/temporary-folder.js'

/** Requests under way at once that the service is set to; four times as many callers come. */
const ROOM = 40
const LOAD = 4 * ROOM
/** Callers of the important kind: there is room for them beside the others, and they take turns with no one. */
const CRITICAL = 3
const DURATION = 5000
/** What a caller waits after it was turned away; sooner than it is told to, as many do. */
const IMPATIENCE = 200

interface Answer { status: number, headers: IncomingHttpHeaders, body: string }
interface Request { path: string, method?: string, body?: unknown }

const agent = new Agent({ keepAlive: true, maxSockets: Infinity })
t.teardown(() => { agent.destroy() })

async function ask ({ url }: Service, { path, method = 'GET', body }: Request): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    httpRequest(url + path, { method, agent, timeout: 30_000, ...(body !== undefined && { headers: { 'content-type': 'application/json' } }) }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).on('error', reject)
        .on('end', () => { resolve({ status: response.statusCode!, headers: response.headers, body: text }) })
    }).on('error', reject).on('timeout', () => { reject(new Error(`${path} was not answered in 30 s`)) }).end(body === undefined ? undefined : JSON.stringify(body))
  })
}

t.test('four times as many requests as there is room for: what is important is answered', async (t) => {
  const service = await startService(t, { MAX_CONCURRENT_REQUESTS: String(ROOM), DATA_DIR: temporaryFolder(t), LOG_LEVEL: 'info' })
  const keys = Array.from({ length: 200 }, (_, i) => `key:${i}`)
  const filled = await ask(service, { path: '/api/cache/set-batch', method: 'POST', body: keys.map((key) => ({ key, value: 'x'.repeat(100), tags: ['all'] })) })
  t.equal(filled.status, 200)

  const end = performance.now() + DURATION
  const answers = new Map<string, Answer[]>()
  const callers: Promise<void>[] = []
  function call (kind: string, count: number, requestOf: (n: number) => Request): void {
    const all = answers.get(kind) ?? []
    answers.set(kind, all)
    for (let caller = 0; caller < count; caller++) {
      callers.push((async () => {
        for (let n = caller; performance.now() < end; n += count) {
          const answer = await ask(service, requestOf(n))
          all.push(answer)
          await sleep(answer.status === 503 ? IMPATIENCE : 5)
        }
      })())
    }
  }
  // Each of these waits for a value that nobody brings: it is under way for a second.
  call('ordinary', LOAD / 2, (n) => ({ path: `/api/cache/get/absent:${n % 5}?lease=1` }))
  call('bulk', LOAD / 2, () => ({ path: '/api/cache/get-batch', method: 'POST', body: keys }))
  await eventually(() => ['ordinary', 'bulk'].every((kind) => answers.get(kind)!.some(({ status }) => status === 503)), 'there is more than it does')
  call('invalidation', CRITICAL, (n) => n % 2 === 0
    ? { path: '/api/cache/invalidate', method: 'POST', body: { tags: [`other-${n}`] } }
    : { path: `/api/cache/delete/key:none-${n}`, method: 'DELETE' })
  call('health', 2, (n) => ({ path: n % 2 === 0 ? '/health/live' : '/health/ready' }))
  await Promise.all(callers)

  for (const [kind, all] of answers) {
    const wrong = all.filter(({ status }) => status !== 200 && status !== 503)
    t.strictSame(wrong.map(({ status, body }) => `${status} ${body.slice(0, 100)}`), [], `${kind}: answered, or turned away`)
  }
  const succeeded = (kind: string): number => answers.get(kind)!.filter(({ status }) => status === 200).length
  const critical = [...answers.get('invalidation')!, ...answers.get('health')!]
  const answered = succeeded('invalidation') + succeeded('health')
  t.comment(`critical: ${answered} of ${critical.length}; ordinary: ${succeeded('ordinary')} of ${answers.get('ordinary')!.length}; bulk: ${succeeded('bulk')} of ${answers.get('bulk')!.length}`)
  t.ok(critical.length >= 50, 'enough of them to tell')
  t.ok(answered > 0.99 * critical.length, `${answered} of ${critical.length}`)
  t.ok(succeeded('ordinary') >= ROOM / 2, 'what is admitted of the others is done')
  for (const { headers, body } of [...answers.values()].flat().filter(({ status }) => status === 503)) {
    const wait = Number(headers['retry-after'])
    if (!(wait >= 1 && wait <= 5) || !body.includes('/problems/temporary-reduced-capacity')) t.fail(`${headers['retry-after']}: ${body}`)
  }
  await eventually(async () => (await ask(service, { path: '/api/cache/get-batch', method: 'POST', body: keys })).status === 200, 'afterwards everything is let in')
  const told = service.log().split('\n').filter((line) => /"level":[456]0/.test(line))
  t.ok(told.length >= 1 && told.length <= 3, `${told.length} lines of the log tell of it`)
  t.ok(told.every((line) => /"level":40.*turned away/.test(line)))
})
