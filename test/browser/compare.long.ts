import t from 'tap'
import type { Locator, Page } from 'playwright-core'
import { inspect, openBrowser, shot, violations, watchedPage } from '../support/browser.js'
import { send, startService } from '../support/service.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const HOSTILE = '<img src=x onerror=alert(1)> "\'; DROP TABLE products; -- \u202e {{7*7}}'

const panel = (page: Page, name: string | RegExp): Locator => page.getByRole('region', { name })
/** What stands under a name of the statistics or of a result. */
const stat = (place: Locator, name: string): Locator => place.locator('.stat', { has: place.page().getByText(name, { exact: true }) }).locator('dd')

async function fill (form: Locator, fields: Record<string, string>): Promise<void> {
  for (const [label, value] of Object.entries(fields)) await form.getByLabel(label, { exact: true }).fill(value)
}

void t.test('the page Compare', async (t) => {
  const { url } = await startService(t, { DATA_DIR: temporaryFolder(t) })
  const browser = await openBrowser(t)
  const { page, faults } = await watchedPage(browser, url)
  let posts = 0
  page.on('request', (request) => { if (request.method() === 'POST') posts += 1 })
  await page.goto(`${url}/#/compare`)
  const loads = panel(page, 'Load products')
  const statistics = panel(page, 'Cache statistics')
  const products = panel(page, /^Products \(/)
  const adding = panel(page, 'Add a product')
  const row = (name: string): Locator => products.getByRole('row').filter({ hasText: name })
  const seen = async (place: Locator, name: string, value: string | RegExp): Promise<void> => { await stat(place, name).filter({ hasText: value }).waitFor() }

  await t.test('the first load comes from the database, the second from the cache, and past it from the database again', async (t) => {
    await loads.getByText('Nothing is loaded yet.').waitFor()
    await seen(statistics, 'Requests', /^0/)
    await loads.getByRole('button', { name: 'Load Products' }).click()
    await seen(loads, 'Source', /^database/)
    t.match(await stat(loads, 'Response time').innerText(), /^[\d.,]+ (µs|ms|s)/)
    t.match(await stat(loads, 'Round trip').innerText(), /^[\d.,]+ (µs|ms|s)/)
    await row('Mechanical Keyboard').waitFor()
    await seen(statistics, 'Misses', /^1/)
    await loads.getByRole('button', { name: 'Load Products' }).click()
    await seen(loads, 'Source', /^cache/)
    await seen(statistics, 'Hits', /^1/)
    await seen(statistics, 'Hit rate', /^50 %/)
    await loads.getByRole('status').filter({ hasText: /^Load 2 came from the cache.* With the cache: / }).waitFor()
    await loads.getByRole('button', { name: 'Load past the cache' }).click()
    await seen(loads, 'Source', /^database/)
    const history = loads.getByRole('table', { name: 'The last loads, newest first' }).locator('tbody tr')
    t.same(await history.locator('.badge').allInnerTexts(), ['database', 'cache', 'database'])
    t.match(await history.nth(1).innerText(), 'larder; hit; ttl=')
  })

  await t.test('a product that is added drops the cached list, and is in the one that is loaded then', async (t) => {
    await adding.getByRole('button', { name: 'Add the product' }).click()
    await adding.getByText('must not be empty: it has 1 to 255 characters').waitFor()
    await adding.locator(':focus[aria-invalid]').waitFor()
    await fill(adding, { Name: HOSTILE, Category: 'Tests', Price: '12.345', Stock: '3', Unit: 'kg', Description: '<b>bold</b>' })
    await adding.getByRole('button', { name: 'Add the product' }).click()
    await adding.getByText('must be a number with at most two decimals').waitFor()
    await fill(adding, { Price: '12.34' })
    await adding.getByRole('button', { name: 'Add the product' }).click()
    await adding.getByRole('status').filter({ hasText: /was added as product \d+\. The cache dropped its copy of the list, so that it came from the database again/ }).waitFor()
    await seen(loads, 'Source', /^database/)
    await row(HOSTILE).filter({ hasText: '12.34' }).filter({ hasText: '3 kg' }).filter({ hasText: '<b>bold</b>' }).waitFor()
    t.equal(await page.locator('main img, main b').count(), 0, 'what users wrote is text')
    t.equal(await adding.locator('bdi').innerText(), HOSTILE, 'whose marks of direction do not leave it')
    t.equal(await adding.getByLabel('Name', { exact: true }).inputValue(), '', 'the form is ready for the next one')
    t.equal(posts, 1, 'the service was not asked what is known here')
  })

  await t.test('what the service alone refuses stands under the field, or in the dialog', async () => {
    await page.route('**/products', async (route) => {
      await route.fulfill({ status: 400, contentType: 'application/problem+json', json: { title: 'Invalid request', status: 400, errors: [{ path: 'body/category', message: 'must be of another kind' }] } })
    })
    await fill(adding, { Name: 'Anything', Category: 'Tests', Price: '1' })
    await adding.getByRole('button', { name: 'Add the product' }).click()
    await adding.locator('.field', { hasText: 'Category' }).getByRole('alert').filter({ hasText: 'must be of another kind' }).waitFor()
    await page.unroute('**/products')

    await send(`${url}/products/8`, 'DELETE')
    await row('Desk Lamp').getByRole('button', { name: 'Edit Desk Lamp' }).click()
    const dialog = page.getByRole('dialog', { name: 'Edit product 8' })
    await fill(dialog, { Stock: '29' })
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.getByRole('alert').filter({ hasText: 'There is no product 8' }).waitFor()
    await dialog.getByRole('button', { name: 'Cancel' }).click()
  })

  await t.test('a product is changed, and only in what was changed', async (t) => {
    await row(HOSTILE).getByRole('button', { name: /^Edit / }).click()
    const dialog = page.getByRole('dialog', { name: /^Edit product \d+/ })
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.getByText('Nothing is changed yet.').waitFor()
    await fill(dialog, { Price: '15', Unit: '' })
    t.strictSame(await violations(page), [])
    const sent = page.waitForRequest((request) => request.method() === 'PUT')
    await dialog.getByRole('button', { name: 'Save' }).click()
    t.same((await sent).postDataJSON(), { price: 15, unit: null })
    await products.getByRole('status').filter({ hasText: 'was saved. The cache dropped its copy of the list' }).waitFor()
    await row(HOSTILE).filter({ hasText: '15.00' }).waitFor()
    t.equal(await dialog.count(), 0)
  })

  await t.test('a product is deleted, but not while a recipe uses it', async (t) => {
    const { body: { token } } = await send<{ token: string }>(`${url}/valet/token`, 'POST', { scopes: ['recipes:write'] })
    const recipe = await fetch(`${url}/recipes`, {
      method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: JSON.stringify({ title: 'Bread', items: [{ product_id: 5, quantity: 1 }] })
    })
    t.equal(recipe.status, 201)
    const remove = async (name: string): Promise<Locator> => {
      await row(name).getByRole('button', { name: /^Delete / }).click()
      const dialog = page.getByRole('dialog', { name: /^Delete product / })
      await dialog.getByRole('button', { name: 'Delete the product' }).click()
      return dialog
    }
    const refused = await remove('Plain Flour')
    await refused.getByRole('alert').filter({ hasText: 'Recipes use the product 5: take it out of them first' }).waitFor()
    await page.keyboard.press('Escape')
    await refused.waitFor({ state: 'detached' })
    // The focus is back.
    await page.locator(':focus[aria-label="Delete Plain Flour"]').waitFor()

    await remove(HOSTILE)
    await products.getByRole('status').filter({ hasText: 'was deleted. The cache dropped its copy of the list' }).waitFor()
    await row(HOSTILE).waitFor({ state: 'detached' })
  })

  await t.test('the performance test draws its rounds, and says what the cache saves', async (t) => {
    const performance = panel(page, 'Performance test')
    const run = performance.getByRole('button', { name: 'Run the performance test' })
    await performance.getByLabel('Rounds').fill('1000')
    await run.click()
    await performance.getByText('must be a whole number from 1 to 100').waitFor()
    await performance.getByLabel('Rounds').fill('6')
    await run.click()
    await performance.getByRole('status').filter({ hasText: /^Over 6 rounds, by their medians, the database took .* and the cache .*: [\d.,]+ % (less time|longer)?/ }).waitFor()
    t.equal(await performance.locator('svg rect.series-1').count(), 6)
    t.equal(await performance.locator('svg rect.series-2').count(), 6)
    t.match(await stat(performance, 'Improvement').innerText(), /%$/)
    await performance.getByText('The figures of each round').first().click()
    t.equal(await performance.getByRole('table', { name: 'The figures of each round' }).locator('tbody tr').count(), 6)
    t.strictSame(await inspect(page, 'compare'), [])

    await page.route('**/cache/performance', async (route) => {
      await page.waitForTimeout(20)
      await route.continue()
    })
    await performance.getByLabel('Rounds').fill('100')
    await run.click()
    await performance.getByText(/^[1-9]\d? of 100 rounds$/).waitFor()
    await performance.getByRole('button', { name: 'Cancel' }).click()
    await performance.getByRole('status').filter({ hasText: /^Cancelled\. (Over|In one)/ }).waitFor()
    await page.unrouteAll({ behavior: 'ignoreErrors' })
  })

  await t.test('the cache is cleared once that is confirmed', async (t) => {
    await statistics.getByRole('button', { name: 'Clear the cache' }).click()
    const dialog = page.getByRole('dialog', { name: 'Clear the cache of the samples?' })
    await dialog.getByRole('button', { name: 'Clear the cache' }).click()
    await statistics.getByRole('status').filter({ hasText: /^Cleared: the cache dropped / }).waitFor()
    await seen(statistics, 'Entries', /^0/)
    await loads.getByRole('button', { name: 'Load Products' }).click()
    await loads.getByRole('status').filter({ hasText: 'came from the database' }).waitFor()
    await statistics.getByText(/^Cleared: /).waitFor({ state: 'detached' })
    t.equal(await products.getByText('was deleted').count(), 0, 'what was done before is not said any more')
  })

  await t.test('whoever may only read is offered nothing else', async (t) => {
    const { body: { key } } = await send<{ key: string }>(`${url}/keys`, 'POST', { scopes: ['products:read', 'cache:read'] })
    await page.getByRole('button', { name: 'Sign in' }).click()
    const dialog = page.getByRole('dialog', { name: 'Sign in' })
    await dialog.getByLabel(/API key/).fill(key)
    await dialog.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('button', { name: 'Sign out' }).waitFor()
    await loads.getByRole('button', { name: 'Load Products' }).click()
    await row('Plain Flour').waitFor()
    await statistics.waitFor()
    for (const name of [/^Edit /, /^Delete /, 'Add the product', 'Clear the cache']) t.equal(await page.getByRole('button', { name }).count(), 0, String(name))
    await shot(page, 'compare-read-only')
    await page.getByRole('button', { name: 'Sign out' }).click()
  })

  await t.test('without products it is said how there come to be some, and without the service that it is away', async (t) => {
    await page.route('**/products', async (route) => { await route.fulfill({ json: { products: [], source: 'database', response_time: 0.001 } }) })
    await loads.getByRole('button', { name: 'Load Products' }).click()
    await products.getByText('There are no products.').waitFor()
    t.match(await products.innerText(), 'Add one with the form on this page, or start the service on a new database with SAMPLE_DATA=true.')
    await page.unroute('**/products')
    // The browser itself tells of answers that are errors, which these were meant to be.
    t.strictSame(faults.filter((fault) => !/status of 4(?:00|04|09)/.test(fault)), [])
    await page.route('**/products', async (route) => { await route.abort() })
    await loads.getByRole('button', { name: 'Load Products' }).click()
    await loads.getByRole('alert').filter({ hasText: 'The service cannot be reached' }).waitFor()
  })
})
