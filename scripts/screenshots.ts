// Takes the pictures that the README and docs/dashboard.md show, of a real service with sample data and some traffic: `npm run screenshots`.
import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { openBrowser } from '../test/support/browser.js'
import { send, startService } from '../test/support/service.js'
import { temporaryFolder } from '../test/support/temporary-folder.js'

const FOLDER = fileURLToPath(new URL('../docs/images/', import.meta.url))
/** Pixels: a picture is to be read in a README. */
const SIZE = { width: 1200, height: 780 }
/** Milliseconds of traffic before the first picture. */
const TRAFFIC = 25_000

const closing: (() => unknown)[] = []
const owner = { teardown: (handler: () => unknown) => closing.unshift(handler) }
try {
  mkdirSync(FOLDER, { recursive: true })
  const { url } = await startService(owner, { DATA_DIR: temporaryFolder(owner), CACHE_MAX_ITEMS: '400', SAMPLE_DATA: 'true' })
  const browser = await openBrowser(owner)
  const page = await browser.newPage({ viewport: SIZE, colorScheme: 'light' })
  const picture = async (name: string): Promise<void> => { await page.screenshot({ path: `${FOLDER}${name}.png` }) }
  const ended = new AbortController()
  const traffic = (async () => {
    for (let round = 0; !ended.signal.aborted; round++) {
      const id = Math.floor(600 * Math.random() ** 2)
      const { body } = await send<{ found: boolean }>(`${url}/api/cache/get/user:${id}`)
      if (!body.found) await send(`${url}/api/cache/set`, 'POST', { key: `user:${id}`, value: { name: 'Alice', id }, ttl: 3600, metadata: { tags: ['user'] } })
      if (round % 5 === 0) await send(`${url}/api/cache/set`, 'POST', { key: `cart:${id}`, value: 'x'.repeat(400), ttl: 120, metadata: { tags: ['cart'] } })
      await new Promise((resolve) => { setTimeout(resolve, 5) })
    }
  })()
  await page.goto(`${url}/#/live`)
  await new Promise((resolve) => { setTimeout(resolve, TRAFFIC) })
  await picture('live')
  await page.goto(`${url}/#/explore?pattern=user:*`)
  await page.getByRole('table').first().waitFor()
  await picture('explore')
  await page.goto(`${url}/#/compare`)
  for (let load = 0; load < 3; load++) {
    await page.getByRole('button', { name: 'Load Products', exact: true }).click()
    await page.waitForTimeout(500)
  }
  await picture('compare')
  await page.goto(`${url}/#/operate/configuration`)
  await page.getByRole('table').first().waitFor()
  await picture('operate')
  ended.abort()
  await traffic
} finally {
  for (const close of closing) await close()
}
