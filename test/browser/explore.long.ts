import { readFile } from 'node:fs/promises'
import t from 'tap'
import type { Locator, Page } from 'playwright-core'
import { inspect, openBrowser, watchedPage, type WatchedPage } from '../support/browser.js'
import { databaseUrl } from '../support/servers.js'
import { startService } from '../support/service.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const ADMINISTRATOR = 'not-a-real-key-of-an-administrator'
const HOSTILE = {
  markup: '<img src=x onerror="window.wasRun=1"><script>window.wasRun=1</script>',
  rightToLeft: 'gpj.\u202eexe مرحبا',
  emoji: '👩‍👩‍👧 🦀',
  slashes: 'a/../b//c?d=#e%2F&f',
  dots: '..',
  long: 'k'.repeat(1000),
  quotes: '"\'`{{7*7}}'
}

interface Stored { key: string, value: unknown, ttl?: number, grace?: number, data_type?: string, metadata?: object }

void t.test('the page Explore', async (t) => {
  const { url } = await startService(t, {
    DATABASE_URL: await databaseUrl(t), DATA_DIR: temporaryFolder(t), CACHE_AUTH_ENABLED: 'true', CACHE_API_KEY: ADMINISTRATOR, CACHE_MAX_KEY_LENGTH: '1000'
  })
  const browser = await openBrowser(t)
  const ask = async (method: string, path: string, body?: unknown): Promise<Record<string, unknown>> => {
    const response = await fetch(`${url}${path}`, {
      method, headers: { 'x-api-key': ADMINISTRATOR, ...body !== undefined && { 'content-type': 'application/json' } }, ...body !== undefined && { body: JSON.stringify(body) }
    })
    return await response.json() as Record<string, unknown>
  }
  const fill = async (namespace: string, entries: Stored[]): Promise<void> => { await ask('POST', `/api/cache/set-batch?namespace=${namespace}`, entries) }
  /** Opens the page as the bearer of a credential; downloads are gathered, unless there is a picker. */
  const visit = async (query: string, credential = ADMINISTRATOR, picker = 'undefined'): Promise<WatchedPage> => {
    const watched = await watchedPage(browser, url)
    await watched.page.addInitScript(`sessionStorage.setItem('larder.credential', '${credential}'); window.showSaveFilePicker = ${picker}`)
    await watched.page.goto(`${url}/#/explore${query}`)
    await watched.page.getByRole('heading', { level: 1, name: 'Explore' }).waitFor()
    return watched
  }

  await t.test('an entry is stored, found, changed against somebody else, and deleted', async (t) => {
    const { page, faults } = await visit('?namespace=life')
    await page.getByText('Nothing is cached here.').waitFor()
    await page.getByRole('button', { name: 'New entry' }).click()
    const dialog = page.getByRole('dialog')
    t.equal(await focused(page), 'INPUT', 'the first field has the focus')
    await dialog.getByRole('button', { name: 'Store' }).click()
    await dialog.getByText('Give the entry a key').waitFor()
    await dialog.getByLabel('Key').fill('user:1')
    await dialog.getByLabel('Type').selectOption('dictionary')
    await dialog.getByLabel('Value').fill('{"name": Ada}')
    await dialog.getByRole('button', { name: 'Store' }).click()
    await dialog.getByText('This is no JSON').waitFor()
    await dialog.getByLabel('Value').fill('{"name": "Ada"}')
    await dialog.getByLabel('TTL in seconds').fill('600')
    await dialog.getByLabel('Tags').fill('user\nprofile')
    await dialog.getByRole('button', { name: 'Store' }).click()
    await status(page, 'user:1 is stored.')
    t.match(await ask('GET', '/api/cache/get/user:1?namespace=life'), { cache_item: { value: { name: 'Ada' }, data_type: 'dictionary', metadata: { tags: ['user', 'profile'] } } })

    await ask('POST', '/api/cache/set', { key: 'other', value: 1, namespace: 'life' })
    await page.getByLabel('Pattern', { exact: true }).fill('user:*')
    await page.getByRole('button', { name: 'Find' }).click()
    await status(page, '1 key that matches user:*')
    t.match(page.url(), /pattern=user%3A\*/)
    const row = page.getByRole('button', { name: 'user:1' })
    await row.focus()
    await page.keyboard.press('Enter')
    await dialog.getByText('{ "name": "Ada" }').waitFor()
    t.ok(await page.evaluate('document.querySelector("dialog").contains(document.activeElement)'), 'the focus is in the dialog')
    const left = async (): Promise<string> => await dialog.locator('dd').first().innerText()
    const before = await left()
    t.match(before, /^(?:9 min \d+ s|10 min)$/)
    await dialog.locator('dd').first().filter({ hasNotText: before }).waitFor()
    t.strictSame(await inspect(page, 'explore-entry'), [])
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'detached' })
    t.equal(await page.evaluate('document.activeElement.textContent'), 'user:1', 'the focus is back at the row')

    await row.click()
    await dialog.getByRole('button', { name: 'Edit' }).click()
    await ask('POST', '/api/cache/set', { key: 'user:1', value: { name: 'Grace' }, namespace: 'life' })
    await dialog.getByLabel('Value').fill('{"name": "Ada Lovelace"}')
    await dialog.getByRole('button', { name: 'Store', exact: true }).click()
    const conflict = dialog.getByRole('alert')
    await conflict.getByText('Somebody else has changed the entry').waitFor()
    await conflict.getByText('Grace').waitFor()
    t.match(await ask('GET', '/api/cache/get/user:1?namespace=life'), { cache_item: { value: { name: 'Grace' } } }, 'nothing was stored over it')
    t.strictSame(await inspect(page, 'explore-conflict'), [])
    await page.keyboard.press('Escape')
    await page.getByRole('dialog', { name: 'Leave what you typed?' }).getByRole('button', { name: 'Cancel' }).click()
    await conflict.getByRole('button', { name: 'Store mine over it' }).click()
    await dialog.getByText('The entry is stored.').waitFor()
    t.equal(await page.evaluate('document.activeElement.textContent'), 'The entry is stored.')
    t.match(await ask('GET', '/api/cache/get/user:1?namespace=life'), { cache_item: { value: { name: 'Ada Lovelace' } } })

    await dialog.getByLabel('TTL from now').fill('0')
    await dialog.getByRole('button', { name: 'Touch' }).click()
    await dialog.getByText('The TTL is set.').waitFor()
    await dialog.getByText('never expires').waitFor()
    await dialog.getByRole('button', { name: 'Delete' }).click()
    await page.getByRole('dialog', { name: 'Delete the entry?' }).getByRole('button', { name: 'Delete' }).click()
    await status(page, 'user:1 is deleted.')
    await page.getByText('No key matches user:*.').waitFor()
    t.equal(await page.evaluate('document.activeElement.textContent'), 'user:1 is deleted.', 'the row is gone, and the focus is where that is said')
    t.match(await ask('GET', '/api/cache/get/user:1?namespace=life'), { found: false })

    await page.getByRole('button', { name: 'New entry' }).click()
    await dialog.getByLabel('Key').fill('other')
    await dialog.getByRole('button', { name: 'Store' }).click()
    await conflict.getByText('There is an entry under this key already.').waitFor()
    await conflict.getByRole('button', { name: 'Open what is there' }).click()
    t.match(page.url(), /key=other/)
    await dialog.getByLabel('Add to the number').fill('41')
    await dialog.getByRole('button', { name: 'Increment' }).click()
    await dialog.getByText('The counter is 42.').waitFor()
    await page.reload()
    await dialog.getByLabel('Value', { exact: true }).last().getByText('42').waitFor()
    await dialog.getByRole('button', { name: 'Close' }).click()
    await page.goBack()
    await dialog.getByText('Entry').first().waitFor()
    // The browser itself tells of the 412.
    t.strictSame(faults.filter((fault) => !/status of 412/.test(fault)), [])
    await page.close()
  })

  await t.test('more keys than a page has are paged through, and where one is stands in the address', async (t) => {
    await fill('many', Array.from({ length: 250 }, (_, index) => ({ key: `item:${index}`, value: index })))
    const { page, faults } = await visit('?namespace=many')
    const keys = async (): Promise<string[]> => await page.locator('.explore-key').allTextContents()
    await status(page, '250 keys in namespace many, default backend. Here: 1 to 100.')
    const seen = new Set(await keys())
    await page.getByRole('button', { name: 'Next page' }).click()
    await status(page, 'Here: 101 to 200.')
    const second = await keys()
    for (const key of second) seen.add(key)
    await page.getByRole('button', { name: 'Next page' }).click()
    await status(page, 'Here: 201 to 250.')
    for (const key of await keys()) seen.add(key)
    t.equal(seen.size, 250)
    t.ok(await page.getByRole('button', { name: 'Next page' }).isDisabled())
    await page.goBack()
    await status(page, 'Here: 101 to 200.')
    await page.reload()
    await status(page, 'Here: 101 to 200.')
    t.strictSame(await keys(), second)
    t.strictSame(faults, [])
    await page.close()
  })

  await t.test('an invalidation shows what it would hit before it does', async (t) => {
    await fill('drop', [
      ...Array.from({ length: 30 }, (_, index) => ({ key: `temp:${index}`, value: 1 })),
      { key: 'a', value: 1, metadata: { tags: ['user'] } }, { key: 'b', value: 1, metadata: { tags: ['user', 'x'] } }, { key: 'c', value: 1 }, { key: 'd', value: 1 },
      { key: 'graced', value: 1, grace: 600, metadata: { tags: ['soft'] } }, { key: 'graceless', value: 1, metadata: { tags: ['soft'] } }
    ])
    const { page, faults } = await visit('?namespace=drop')
    const panel = page.getByRole('region', { name: 'Invalidate' })
    await panel.getByRole('button', { name: 'Preview' }).click()
    await panel.getByText('Give tags, or a pattern, or both.').waitFor()
    await panel.getByLabel('Tags').fill('soft')
    await panel.getByLabel('Mode').selectOption('soft')
    await panel.getByRole('button', { name: 'Preview' }).click()
    await panel.getByText('1 entry would be stale and 1 gone:').waitFor()
    await panel.getByRole('button', { name: 'Invalidate 2 entries' }).click()
    await panel.getByText('2 entries invalidated, 1 of them kept as stale.').waitFor()
    await status(page, '34 keys')
    await panel.getByLabel('Mode').selectOption('hard')
    await panel.getByLabel('Tags').fill('user\nnobody')
    await panel.getByRole('button', { name: 'Preview' }).click()
    await panel.getByText('2 entries would go:').waitFor()
    t.strictSame((await panel.locator('.explore-sample code').allTextContents()).sort(), ['a', 'b'])
    await status(page, '34 keys')
    await panel.getByLabel('Pattern of keys').fill('temp:*')
    t.equal(await panel.getByRole('button', { name: /^Invalidate/ }).count(), 0, 'what was previewed is not what stands there any more')
    await panel.getByRole('button', { name: 'Preview' }).click()
    await panel.getByText('32 entries would go, 20 of them here:').waitFor()
    t.strictSame(await inspect(page, 'explore-preview'), [])
    await panel.getByRole('button', { name: 'Invalidate 32 entries' }).click()
    await panel.getByText('32 entries invalidated.').waitFor()
    await status(page, '2 keys')
    await panel.getByRole('button', { name: 'Preview' }).click()
    await panel.getByText('Nothing would go.').waitFor()
    await panel.getByRole('button', { name: 'Clear the namespace…' }).click()
    await page.getByRole('dialog').getByText('2 entries would go:').waitFor()
    await page.getByRole('dialog').getByRole('button', { name: 'Delete everything in it' }).click()
    await panel.getByText('2 entries deleted.').waitFor()
    await page.getByText('Nothing is cached here.').waitFor()
    t.strictSame(faults, [])
    await page.close()
  })

  await t.test('what is exported and cleared comes back by an import', async (t) => {
    await fill('moved', [
      ...Array.from({ length: 120 }, (_, index) => ({ key: `item:${index}`, value: { index }, ttl: 0 })),
      { key: 'bytes', value: 'AP8=', data_type: 'binary', ttl: 0 }, { key: 'tagged', value: 'x\n"y"', ttl: 0, metadata: { tags: ['t'], by: 'me' } }
    ])
    const exported = async (): Promise<object[]> => {
      const { entries } = await ask('GET', '/api/cache/export?namespace=moved') as { entries: Array<Record<string, unknown>> }
      return entries.map(({ key, value, data_type: type, ttl, metadata, strategy }) => ({ key, value, type, ttl, metadata, strategy })).sort((a, b) => String(a.key) < String(b.key) ? -1 : 1)
    }
    const before = await exported()
    const { page, faults } = await visit('?namespace=moved')
    const out = page.getByRole('region', { name: 'Export' })
    const back = page.getByRole('region', { name: 'Import' })
    for (const format of ['ndjson', 'json']) {
      await out.getByLabel('Format').selectOption(format)
      const download = page.waitForEvent('download')
      await out.getByRole('button', { name: 'Export' }).click()
      const file = await download
      t.equal(file.suggestedFilename(), `larder-memory-moved.${format}`)
      await out.getByText('122 entries,').waitFor()
      const buffer = await readFile(await file.path())
      await ask('POST', '/api/cache/clear?namespace=moved')

      const cut = buffer.subarray(0, buffer.length - 40)
      await back.getByLabel('File').setInputFiles({ name: file.suggestedFilename(), mimeType: '', buffer: cut })
      await back.getByRole('button', { name: 'Import' }).click()
      await back.getByRole('alert').getByText(/^line \d+ /).first().waitFor()
      t.strictSame(await exported(), [], 'nothing of a file that was cut off is stored, and the line at fault is said')
      await back.getByLabel('File').setInputFiles({ name: file.suggestedFilename(), mimeType: '', buffer })
      await back.getByRole('button', { name: 'Import' }).click()
      await back.getByText(`122 entries imported from larder-memory-moved.${format}.`).waitFor()
      await status(page, '122 keys')
      t.strictSame(await exported(), before)
    }
    const dropped = await page.evaluateHandle(`(() => {
      const transfer = new DataTransfer()
      transfer.items.add(new File(['{"row":1,"key":"dropped","namespace":"moved","value":1,"total_items":1}\\n'], 'dropped.ndjson'))
      return transfer
    })()`)
    await back.locator('form').dispatchEvent('drop', { dataTransfer: dropped })
    await back.getByText('dropped.ndjson, ').waitFor()
    await back.getByRole('button', { name: 'Import' }).click()
    await back.getByText('1 entry imported from dropped.ndjson.').waitFor()
    await status(page, '123 keys')
    await back.getByLabel('File').setInputFiles({ name: 'sheet.csv', mimeType: 'text/csv', buffer: Buffer.from('key\r\n') })
    await back.getByText('CSV is for spreadsheets').waitFor()
    t.strictSame(faults.filter((fault) => !/status of 400/.test(fault)), [])
    await page.close()

    const picker = '(options) => navigator.storage.getDirectory().then((folder) => folder.getFileHandle(options.suggestedName, { create: true }))'
    const streamed = await visit('?namespace=moved', ADMINISTRATOR, picker)
    await streamed.page.getByRole('region', { name: 'Export' }).getByLabel('Format').selectOption('csv')
    await streamed.page.getByRole('region', { name: 'Export' }).getByRole('button', { name: 'Export' }).click()
    await streamed.page.getByText(/^123 entries, .* written to larder-memory-moved\.csv/).waitFor()
    const written = await streamed.page.evaluate<string>('navigator.storage.getDirectory().then((folder) => folder.getFileHandle("larder-memory-moved.csv")).then((handle) => handle.getFile()).then((file) => file.text())')
    t.equal(written.trim().split('\r\n').length, 124, 'a header and a line for each')
    t.strictSame(streamed.faults, [])
    await streamed.page.close()
  })

  await t.test('transfers tell how far they are, and can be cancelled', async (t) => {
    await fill('big', Array.from({ length: 40 }, (_, index) => ({ key: `big:${index}`, value: 'x'.repeat(20_000) })))
    const { page, faults } = await visit('?namespace=big')
    const session = await page.context().newCDPSession(page)
    await session.send('Network.enable')
    await session.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: 200_000, uploadThroughput: 200_000 })
    const out = page.getByRole('region', { name: 'Export' })
    await out.getByRole('button', { name: 'Export' }).click()
    await out.getByText(/^[1-9]\d* entr(?:y|ies), \d/).first().waitFor()
    await out.getByRole('button', { name: 'Cancel' }).click()
    await out.getByText('Cancelled: there is no file.').waitFor()
    const back = page.getByRole('region', { name: 'Import' })
    await back.getByLabel('File').setInputFiles({ name: 'big.ndjson', mimeType: '', buffer: Buffer.alloc(4_000_000, ' ') })
    await back.getByRole('button', { name: 'Import' }).click()
    await back.getByText(/^[1-9][\d.]* (?:KiB|MiB) of 3\.8 MiB sent$/).waitFor()
    await back.getByRole('button', { name: 'Cancel' }).click()
    await back.getByText(/^Cancelled\. Nothing was stored/).waitFor()
    t.strictSame(faults, [])
    await page.close()
  })

  await t.test('what is in the cache is text, whatever it says, however long it is', async (t) => {
    const markup = HOSTILE.markup
    await fill('hostile', [
      ...Object.values(HOSTILE).map((key) => ({ key, value: { [markup]: [markup, null, { [HOSTILE.rightToLeft]: HOSTILE.emoji }] }, metadata: { tags: [markup.slice(0, 200)], [markup]: markup } })),
      { key: 'tree', value: Array.from({ length: 3000 }, (_, index) => ({ index, text: markup })) },
      { key: 'bytes', value: Buffer.alloc(1000, '<i>').toString('base64'), data_type: 'binary' }
    ])
    await fill('hostile', [{ key: 'large', value: '<b>'.repeat(340_000) }])
    const huge = { row: 1, key: 'huge', namespace: 'hostile', value: '<b>'.repeat(1_500_000), total_items: 1 }
    await fetch(`${url}/api/cache/import`, { method: 'POST', headers: { 'x-api-key': ADMINISTRATOR, 'content-type': 'application/x-ndjson' }, body: JSON.stringify(huge) })
    const { page, faults } = await visit('?namespace=hostile')
    await status(page, '11 keys')
    const shown = await page.locator('.explore-key').allTextContents()
    for (const key of Object.values(HOSTILE)) t.ok(shown.includes(key), JSON.stringify(key.slice(0, 40)))
    const dialog = page.getByRole('dialog')
    const open = async (index: number): Promise<void> => { await page.locator('.explore-key').nth(index).click() }
    for (const key of Object.values(HOSTILE)) {
      await open(shown.indexOf(key))
      await dialog.getByText(HOSTILE.emoji).last().waitFor()
      t.equal(await dialog.locator('.explore-name').first().textContent(), key)
      await page.keyboard.press('Escape')
      await dialog.waitFor({ state: 'detached' })
    }
    await open(shown.indexOf(HOSTILE.markup))
    await dialog.getByText('Metadata').first().click()
    t.strictSame(await inspect(page, 'explore-hostile'), [])
    await page.keyboard.press('Escape')
    await open(shown.indexOf('large'))
    await dialog.getByRole('button', { name: 'Show all 1,020,000 characters' }).click()
    t.equal((await dialog.locator('pre.value').textContent())?.length, 1_020_000)
    await page.keyboard.press('Escape')
    await open(shown.indexOf('huge'))
    await dialog.getByText('The value takes 4.3 MiB.').waitFor()
    await dialog.getByRole('button', { name: 'Load it' }).click()
    await dialog.getByText('string, 4,500,000 characters').waitFor()
    await page.keyboard.press('Escape')
    await open(shown.indexOf('tree'))
    await dialog.getByText('[3000]').waitFor()
    t.equal(await dialog.locator('.explore-tree li').count(), 100)
    await dialog.getByRole('button', { name: 'Show more of 3000' }).click()
    t.equal(await dialog.locator('.explore-tree li').count(), 200)
    await dialog.locator('.explore-tree li summary').first().click()
    await dialog.getByText('index').first().waitFor()
    await page.keyboard.press('Escape')
    await open(shown.indexOf('bytes'))
    await dialog.getByText('3c 69 3e 3c').first().waitFor()
    const download = page.waitForEvent('download')
    await dialog.getByRole('button', { name: 'Download' }).click()
    t.equal((await readFile(await (await download).path())).length, 1000)
    t.equal(await page.evaluate('window.wasRun'), undefined)
    t.strictSame(faults, [])
    await page.close()
  })

  await t.test('a credential is offered what it permits, in its namespaces', async (t) => {
    await fill('shop', [{ key: 'mine', value: 1 }])
    const { key } = await ask('POST', '/keys', { scopes: ['cache:read'], namespaces: ['shop', 'stock'] }) as { key: string }
    const { page, faults } = await visit('', key)
    await status(page, '1 key in namespace shop')
    t.strictSame(await page.getByRole('search').getByLabel('Namespace').locator('option').allTextContents(), ['shop', 'stock'])
    for (const name of ['New entry', 'Import', 'Preview', /Clear/]) t.equal(await page.getByRole('button', { name }).count(), 0, String(name))
    await page.getByRole('button', { name: 'mine' }).click()
    await page.getByRole('dialog').getByText('Version').waitFor()
    for (const name of ['Edit', 'Delete', 'Touch', 'Increment']) t.equal(await page.getByRole('dialog').getByRole('button', { name }).count(), 0, name)
    await page.goto(`${url}/#/explore?namespace=foreign&key=mine`)
    await page.getByRole('dialog').getByText('There is no such entry.').waitFor()
    await page.goto(`${url}/#/explore?backend=redis`)
    await page.getByRole('alert').getByText('REDIS_URL').first().waitFor()
    t.strictSame(faults.filter((fault) => !/status of 503/.test(fault)), [])
    await page.close()
  })
})

const focused = async (page: Page): Promise<string> => await page.evaluate<string>('document.activeElement.tagName')

const status = async (page: Page, text: string): Promise<void> => { await role(page).filter({ hasText: text }).first().waitFor() }
const role = (page: Page): Locator => page.getByRole('status')
