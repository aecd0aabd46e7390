import { brotliDecompressSync } from 'node:zlib'
import t from 'tap'
import { inspect, openBrowser, watchedPage } from '../support/browser.js'
import { startService } from '../support/service.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const ADMINISTRATOR = 'not-a-real-key-of-an-administrator'
/** Bytes over the wire that a first visit may take. */
const BUDGET = 150_000

void t.test('the frame of the dashboard', async (t) => {
  const { url } = await startService(t, { DATA_DIR: temporaryFolder(t), CACHE_AUTH_ENABLED: 'true', CACHE_API_KEY: ADMINISTRATOR })
  const browser = await openBrowser(t)
  const keyFor = async (scopes: string[]): Promise<string> => {
    const response = await fetch(`${url}/keys`, { method: 'POST', headers: { 'x-api-key': ADMINISTRATOR, 'content-type': 'application/json' }, body: JSON.stringify({ scopes }) })
    return (await response.json() as { key: string }).key
  }

  await t.test('offers what the credential permits, and nothing else', async (t) => {
    const { page, faults } = await watchedPage(browser, url)
    const pages = async (): Promise<string[]> => (await page.getByRole('navigation', { name: 'Pages' }).getByRole('link').allTextContents()).filter((name) => name !== 'API')
    const signIn = async (credential: string): Promise<void> => {
      await page.getByRole('button', { name: 'Sign in' }).first().click()
      await page.getByLabel(/API key/).fill(credential)
      await page.getByRole('dialog').getByRole('button', { name: 'Sign in' }).click()
    }
    await page.goto(url)
    await page.getByText('To see what is in it, sign in').waitFor()
    t.strictSame(await pages(), [], 'nobody in particular sees no page')
    t.strictSame(await inspect(page, 'welcome'), [])

    await signIn('not a key')
    await page.getByRole('dialog').getByRole('alert').getByText('(401)').waitFor()
    t.strictSame(await inspect(page, 'sign-in'), [])
    await page.keyboard.press('Escape')
    t.equal(await page.getByRole('dialog').count(), 0, 'Escape closes it')
    t.match(await page.evaluate('document.activeElement.textContent'), 'Sign in', 'the focus is back where it was')

    await signIn(await keyFor(['products:read']))
    await page.getByText('API key', { exact: true }).waitFor()
    t.strictSame(await pages(), ['Compare'])
    await page.reload()
    await page.getByText('API key', { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByText('To see what is in it, sign in').waitFor()

    await signIn(ADMINISTRATOR)
    await page.getByText('Administrator', { exact: true }).waitFor()
    t.strictSame(await pages(), ['Live', 'Explore', 'Compare', 'Operate'])
    await page.goto(`${url}/#/nowhere`)
    await page.getByText('There is no such page here').waitFor()
    t.strictSame(faults.filter((fault) => !/status of 401/.test(fault)), [])
    await page.close()
  })

  await t.test('the keyboard alone leads everywhere, past the header too', async (t) => {
    const { page, faults } = await watchedPage(browser, url)
    await page.goto(url)
    await page.getByText('To see what is in it').waitFor()
    await page.keyboard.press('Tab')
    t.equal(await page.evaluate('document.activeElement.textContent'), 'Skip to the content')
    await page.keyboard.press('Enter')
    t.equal(await page.evaluate('document.activeElement.id'), 'main')
    await page.keyboard.press('Tab')
    t.equal(await page.evaluate('document.activeElement.textContent'), 'Sign in')
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').waitFor()
    t.equal(await page.evaluate('document.activeElement.tagName'), 'INPUT', 'the dialog takes the focus')
    t.strictSame(faults, [])
    await page.close()
  })

  await t.test(`a first visit of every page takes less than ${BUDGET / 1000} kB, and code that is kept for ever afterwards`, async (t) => {
    const { page, faults } = await watchedPage(browser, url)
    let received = 0
    const session = await page.context().newCDPSession(page)
    await session.send('Network.enable')
    const code = new Set<string>()
    session.on('Network.loadingFinished', ({ encodedDataLength }) => { received += encodedDataLength })
    page.on('response', (response) => { if (response.url().includes('/assets/dashboard/')) code.add(response.url()) })
    await page.goto(url)
    await page.getByRole('button', { name: 'Sign in' }).first().click()
    await page.getByLabel(/API key/).fill(ADMINISTRATOR)
    await page.getByRole('dialog').getByRole('button', { name: 'Sign in' }).click()
    for (const name of ['Explore', 'Compare', 'Operate', 'Live']) {
      await page.getByRole('link', { name, exact: true }).click()
      await page.getByRole('heading', { level: 1, name }).waitFor()
    }
    const painted = await page.evaluate<number>('performance.getEntriesByName("first-contentful-paint")[0].startTime')
    t.comment(`first contentful paint after ${Math.round(painted)} ms, ${Math.round(received / 1000)} kB received`)
    t.ok(received < BUDGET, `${received} bytes`)
    for (const address of code) {
      const response = await fetch(address)
      t.match(response.headers.get('cache-control'), /immutable/, address)
    }
    t.strictSame(faults, [])
    await page.close()
  })

  await t.test('assets come compressed to whoever takes that', async (t) => {
    const [, main] = /src="(\/assets\/dashboard\/main-[A-Z0-9]{8}\.js)"/.exec(await (await fetch(url, { headers: { accept: 'text/html' } })).text())!
    const { get } = await import('node:http')
    const [encoding, body] = await new Promise<[string | undefined, Buffer]>((resolve, reject) => {
      get(`${url}${main}`, { headers: { 'accept-encoding': 'br' } }, (response) => {
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => parts.push(part)).on('end', () => { resolve([response.headers['content-encoding'], Buffer.concat(parts)]) })
      }).on('error', reject)
    })
    t.equal(encoding, 'br')
    const plain = await (await fetch(`${url}${main}`, { headers: { 'accept-encoding': 'identity' } })).text()
    t.equal(brotliDecompressSync(body).toString(), plain)
  })
})
