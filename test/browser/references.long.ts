import t from 'tap'
import type { Page } from 'playwright-core'
import { openBrowser, watchedPage } from '../support/browser.js'
import { startService } from '../support/service.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const ADMINISTRATOR = 'not-a-real-key-of-an-administrator'

/** Opens an operation of Swagger UI, presses "Try it out" and "Execute", and answers the status that is shown. */
async function tryOut (page: Page, operation: string): Promise<string> {
  const block = page.locator(`[id$="-${operation}"]`)
  if (!await block.locator('.execute').isVisible()) {
    await block.locator('.opblock-summary-control').first().click()
    await block.locator('.try-out__btn').click()
  }
  const answered = page.waitForResponse((response) => !response.url().includes('/docs'))
  await block.locator('.execute').click()
  const status = String((await answered).status())
  await block.locator('.live-responses-table tbody .response-col_status', { hasText: status }).first().waitFor()
  return status
}

/** How Swagger UI calls the schemes, by their inputs. */
const names = { '#api_key_value': 'x-api-key', '#auth-bearer-value': 'http, Bearer' }

/** Gives the credential that this input is for, or takes it back. */
async function authorize (page: Page, input: keyof typeof names, credential: string | undefined): Promise<void> {
  await page.locator('.btn.authorize').first().click()
  const scheme = page.locator('.auth-container').filter({ hasText: names[input] }).first()
  if (credential === undefined) {
    await scheme.getByRole('button', { name: 'Remove authorization' }).click()
  } else {
    await scheme.locator(input).fill(credential)
    await scheme.getByRole('button', { name: 'Apply credentials' }).click()
  }
  await page.locator('.modal-ux .btn-done').first().click()
}

void t.test('the references in a browser', async (t) => {
  const { url } = await startService(t, { DATA_DIR: temporaryFolder(t), CACHE_AUTH_ENABLED: 'true', CACHE_API_KEY: ADMINISTRATOR })
  const browser = await openBrowser(t)
  const asAdministrator = async (path: string, body: object): Promise<Record<string, string>> => {
    const response = await fetch(`${url}${path}`, { method: 'POST', headers: { 'x-api-key': ADMINISTRATOR, 'content-type': 'application/json' }, body: JSON.stringify(body) })
    return await response.json() as Record<string, string>
  }

  await t.test('Swagger UI: Authorize works with an API key and with a valet key, and says who may not', async (t) => {
    const { key } = await asAdministrator('/keys', { scopes: ['products:read'] })
    const { token } = await asAdministrator('/valet/token', { scopes: ['items:read'] })
    const { page, faults } = await watchedPage(browser, url)
    await page.goto(`${url}/docs`)
    await page.locator('.btn.authorize').first().waitFor()
    t.equal(await tryOut(page, 'listProducts'), '401')

    await authorize(page, '#api_key_value', key)
    t.equal(await tryOut(page, 'listProducts'), '200')
    t.equal(await tryOut(page, 'listItems'), '403', 'the key lacks the scope')
    await authorize(page, '#api_key_value', undefined)
    t.equal(await tryOut(page, 'listProducts'), '401')

    await authorize(page, '#auth-bearer-value', token)
    t.equal(await tryOut(page, 'listItems'), '200')
    t.equal(await tryOut(page, 'listProducts'), '403', 'the token lacks the scope')
    // The browser itself tells of each answer that is an error.
    t.strictSame(faults.filter((fault) => !/status of 40[13]/.test(fault)), [])
    await page.close()
  })

  await t.test('ReDoc shows every operation, and asks nobody else', async (t) => {
    const { page, faults } = await watchedPage(browser, url)
    await page.goto(`${url}/redoc`)
    await page.locator('[data-section-id="operation/listProducts"], [id="operation/listProducts"]').first().waitFor({ timeout: 20_000 })
    const { paths } = await (await fetch(`${url}/openapi.json`)).json() as { paths: Record<string, object> }
    const operations = Object.values(paths).flatMap((path) => Object.keys(path)).length
    const sections = await page.locator('[data-section-id^="tag/"][data-section-id*="/operation/"]').all()
    const ids = await Promise.all(sections.map(async (section) => await section.getAttribute('data-section-id')))
    t.equal(new Set(ids).size, operations)
    t.strictSame(faults, [])
    await page.close()
  })
})
