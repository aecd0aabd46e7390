import t from 'tap'
import type { Page } from 'playwright-core'
import { inspect, openBrowser, shot, watchedPage } from '../support/browser.js'
import { eventually } from '../support/caches.js'
import { startRedis } from '../support/servers.js'
import { send, startService } from '../support/service.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const LIMIT = 40

void t.test('the page Live in a browser', async (t) => {
  const redis = await startRedis(t)
  const { url, kill } = await startService(t, { DATA_DIR: temporaryFolder(t), REDIS_URL: redis.url, CACHE_MAX_ITEMS: String(LIMIT) })
  const browser = await openBrowser(t)
  const { page, faults } = await watchedPage(browser, url)
  const stat = (label: string) => page.locator('.stat', { has: page.locator('dt', { hasText: label }) }).locator('dd')
  const caption = (title: string) => page.getByRole('region', { name: title, exact: true }).locator('figcaption')
  const quiet = new AbortController()
  t.teardown(() => { quiet.abort() })
  /** Waits until what is shown is so. */
  const shows = async (what: string, of: () => Promise<string | null>, isIt: (text: string) => boolean): Promise<void> => {
    let text = ''
    await eventually(async () => isIt(text = await of() ?? ''), what, 20_000).catch((error: unknown) => { throw new Error(`${(error as Error).message}: ${text}`) })
  }

  await t.test('before anything was asked it says what to do', async (t) => {
    await page.goto(`${url}/#/live`)
    await page.getByText('Live: a new value every second.').waitFor()
    await page.getByText('Nothing was asked in the last minutes.').waitFor()
    t.match(await page.getByLabel('Commands that store and read a value').textContent(), `${url}/api/cache/get/user:1`)
    await page.getByText('No key was read lately.').waitFor()
    await shot(page, 'live-empty')
  })

  await t.test('values appear and move with the traffic', async (t) => {
    for (let i = 0; i < 2 * LIMIT; i++) await send(`${url}/api/cache/set`, 'POST', { key: `user:${i}`, value: { name: 'Alice', i }, ttl: 600 })
    const traffic = (async () => {
      while (!quiet.signal.aborted) {
        for (let i = 0; i < 6; i++) await send(`${url}/api/cache/get/user:${2 * LIMIT - 1}`)
        await send(`${url}/api/cache/get/user:0`)
        await send(`${url}/api/cache/get/session:none`)
        await send(`${url}/api/cache/set`, 'POST', { key: `cart:${Math.random()}`, value: 'x'.repeat(200), ttl: 30 })
        await new Promise((resolve) => { setTimeout(resolve, 50) })
      }
    })()
    traffic.catch((error: unknown) => { t.fail(String(error)) })
    await shows('the hit ratio', async () => await stat('Hit ratio').textContent(), (text) => /^7\d(\.\d)? %/.test(text))
    await shows('the requests', async () => await caption('Requests per second').textContent(), (text) => /All: [1-9]\d*(\.\d)?\/s.*Status 4xx: 0\/s/.test(text))
    await shows('the latency', async () => await caption('Latency of answers').textContent(), (text) => /p50: [\d.]+ (µs|ms)p95: .*p99: /.test(text))
    await shows('the evictions', async () => await caption('Evictions per second').textContent(), (text) => /All caches: [1-9]\d*(\.\d)?\/s/.test(text))
    await shows('the memory', async () => await caption('Memory against its limit: memory').textContent(), (text) => /Used: [\d.]+ KiBLimit: 100 MiB/.test(text))
    t.match(await stat('Entries in memory').textContent(), `${LIMIT}of ${LIMIT}`)
    t.equal(await page.getByText('Nothing was asked in the last minutes.').count(), 0)

    await shows('the hot key', async () => await page.getByRole('table', { name: 'The keys that are read most' }).locator('tr').first().textContent(), (text) => text.startsWith(`user:${2 * LIMIT - 1}`))
    t.match(await page.getByRole('table', { name: 'Memory by what stands before' }).textContent(), /cart:/)
    t.match(await page.getByRole('table', { name: 'Memory by data type' }).textContent(), /string/)
    t.match(await page.getByRole('table', { name: 'Entries by TTL' }).textContent(), /entries/)
    // What it rests on is a thousand reads.
    const keys = Array.from({ length: LIMIT }, (_, i) => `user:${i}`)
    for (let i = 0; i < 30; i++) t.equal((await send(`${url}/api/cache/get-batch`, 'POST', keys)).status, 200)
    await shows('the sizes', async () => await page.getByRole('region', { name: 'What if it were larger' }).textContent(), (text) => /× 2: [\d.]+ % with 80 entries/.test(text))

    await page.getByRole('region', { name: 'Requests per second' }).getByText('Table').click()
    const rows = page.getByRole('region', { name: 'Table of Requests per second' }).locator('tbody tr')
    const before = await rows.first().textContent()
    await shows('a new row', async () => await rows.first().textContent(), (text) => text !== before)
    t.ok(await isDrawn(page), 'there are lines on the canvas')
  })

  await t.test('paused, nothing moves; going on shows what came meanwhile', async (t) => {
    await page.getByRole('button', { name: 'Pause' }).click()
    await page.getByText(/^Paused at/).waitFor()
    const rows = page.getByRole('region', { name: 'Table of Requests per second' }).locator('tbody tr')
    const [time, count] = [await rows.first().locator('th').textContent(), await rows.count()]
    // Three samples come on a stream of the same service meanwhile.
    await samples(url, 3)
    t.equal(await rows.first().locator('th').textContent(), time)
    await page.getByRole('button', { name: 'Go on' }).click()
    await shows('the rows that came', async () => String(await rows.count()), (text) => Number(text) >= Math.min(60, count + 2))
  })

  await t.test('another backend is chosen, and stays in the address', async (t) => {
    await send(`${url}/api/cache/set`, 'POST', { key: 'over:there', value: 1, backend: 'redis' })
    await page.getByRole('combobox', { name: 'Backend' }).selectOption('redis')
    await page.getByRole('heading', { name: 'What redis is used for' }).waitFor()
    t.match(page.url(), /#\/live\?backend=redis$/)
    await shows('what is in it', async () => await stat('Entries in redis').textContent(), (text) => text.startsWith('1any'))
    await page.reload()
    await page.getByRole('heading', { name: 'What redis is used for' }).waitFor()
    await page.getByRole('combobox', { name: 'Backend' }).selectOption('memory')
  })

  await t.test('where nothing is counted it says what to set', async (t) => {
    const { page, faults } = await watchedPage(browser, url)
    // What a service without metrics answers: that there is nothing here.
    await page.route('**/metrics/live', async (route) => { await route.continue({ url: `${url}/metrics/none` }) })
    await page.goto(`${url}/#/live`)
    await page.getByText('CACHE_METRICS_ENABLED=true').waitFor()
    await page.getByRole('heading', { name: 'What memory is used for' }).waitFor()
    // The browser itself tells of that answer.
    t.strictSame(faults.filter((fault) => !fault.includes('status of 404')), [])
    await page.close()
  })

  await t.test('in light and dark, narrow and wide', async (t) => {
    t.strictSame(await inspect(page, 'live'), [])
    await page.emulateMedia({ colorScheme: 'light' })
    quiet.abort()
  })

  await t.test('a Redis that has died is down, and left alone', async () => {
    const part = page.getByRole('table', { name: 'How each part of the service is' }).locator('tr', { has: page.getByRole('cell', { name: 'redis', exact: true }) })
    await shows('Redis is up', async () => await part.textContent(), (text) => /up.*closed/.test(text))
    await redis.kill()
    await shows('Redis is down', async () => await part.textContent(), (text) => text.includes('down'))
    const known = new AbortController()
    const traffic = (async () => {
      while (!known.signal.aborted) await send(`${url}/api/cache/get/over:there?backend=redis`)
    })()
    await shows('the breaker is open', async () => await part.textContent(), (text) => text.includes('open: left alone'))
    known.abort()
    await traffic
    await shot(page, 'live-redis-down')
  })

  t.strictSame(faults, [])

  await t.test('a stream that was lost is said to be', async () => {
    kill('SIGKILL')
    await page.getByText('The connection was lost. It is tried again in a moment.').waitFor()
  })
})

/** Whether anything but the grid and the figures of its axes is on the first canvas: a pixel in the colour of its line. */
async function isDrawn (page: Page): Promise<boolean> {
  return await page.evaluate<boolean>(`(() => {
    const canvas = document.querySelector('.chart canvas')
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200 && data[i] - data[i + 2] > 60) return true
    return false
  })()`)
}

/** Resolves when so many samples have come on a stream of one's own. */
async function samples (url: string, count: number): Promise<void> {
  const gone = new AbortController()
  const response = await fetch(`${url}/metrics/live`, { headers: { 'last-event-id': String(Date.now()) }, signal: gone.signal })
  let seen = 0
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    seen += Buffer.from(chunk).toString().split('event: sample').length - 1
    if (seen >= count) break
  }
  gone.abort()
}
