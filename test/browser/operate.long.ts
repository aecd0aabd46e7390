import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import pg from 'pg'
import t from 'tap'
import type { Page } from 'playwright-core'
import { inspect, openBrowser, watchedPage } from '../support/browser.js'
import { eventually } from '../support/caches.js'
import { databaseUrl } from '../support/servers.js'
import { startService } from '../support/service.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const ADMINISTRATOR = 'not-a-real-key-of-an-administrator'
const KEY = 'samples.products.list_ttl'

t.setTimeout(400_000) // eight tabs, four looks at each

void t.test('the page where a service is operated', async (t) => {
  const database = await databaseUrl(t)
  const { url } = await startService(t, { DATABASE_URL: database, DATA_DIR: temporaryFolder(t), CACHE_AUTH_ENABLED: 'true', CACHE_API_KEY: ADMINISTRATOR, CACHE_MAX_ITEMS: '5000', REDIS_PASSWORD: 'hush-hush', WEBHOOK_ADDRESSES: '127.0.0.1' })
  const browser = await openBrowser(t)

  const send = async <T = Record<string, unknown>>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}, credential = ADMINISTRATOR) => {
    const response = await fetch(`${url}${path}`, {
      method, headers: { authorization: `Bearer ${credential}`, ...body !== undefined && { 'content-type': 'application/json' }, ...headers }, ...body !== undefined && { body: JSON.stringify(body) }
    })
    const text = await response.text()
    return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as T }
  }
  const signedIn = async (credential: string, tab: string) => {
    const watched = await watchedPage(browser, url)
    const { page } = watched
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
    await page.goto(`${url}/#/operate${tab === '' ? '' : `/${tab}`}`)
    await page.getByRole('banner').getByRole('button', { name: 'Sign in' }).click()
    await page.getByLabel('API key, valet key').fill(credential)
    await page.getByRole('dialog').getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('heading', { name: 'Operate', level: 1 }).waitFor()
    return watched
  }
  const open = async (page: Page, tab: string): Promise<void> => {
    await page.getByRole('tab', { name: tab }).click()
    await page.getByRole('tab', { name: tab, selected: true }).waitFor()
  }
  /** The row of a table that has the text. */
  const row = (page: Page, text: string | RegExp) => page.getByRole('row').filter({ hasText: text })
  const { page, faults } = await signedIn(ADMINISTRATOR, '')

  await t.test('a setting is changed after a dry run, seen in its history, rolled back, and taken away', async (t) => {
    await row(page, 'REDIS_PASSWORD').getByText('***').waitFor()
    t.notMatch(await page.content(), /hush-hush/, 'secrets are masked')
    await page.getByLabel('Filter').fill('products list')
    await page.getByText(/^1 of \d+ settings$/).waitFor()
    await page.getByRole('link', { name: KEY }).click()
    const detail = page.getByRole('region', { name: KEY, exact: true })
    const value = detail.getByLabel('New value')
    await value.fill('soon')
    await detail.getByRole('button', { name: 'Preview the change' }).click()
    await detail.getByText('must be a number of seconds').waitFor()
    await value.fill('5 min')
    await value.fill('7 min')
    await detail.getByRole('button', { name: 'Preview the change' }).click()
    await row(page, 'Then').getByText('420 (7 min)').waitFor()
    t.match((await send('GET', `/config/${KEY}`)).body, { value: 300, source: 'default' }, 'nothing is changed by looking')
    t.strictSame(await inspect(page, 'operate-configuration'), [])
    await detail.getByRole('button', { name: 'Apply' }).click()
    await detail.getByText('It is 420 (7 min) now').waitFor()
    t.match((await send('GET', `/config/${KEY}`)).body, { value: 420, source: 'store', updated_by: 'administrator' })

    const history = page.getByRole('region', { name: 'History' })
    await history.getByText('set: not stored → 420').waitFor()
    await value.fill('60')
    await value.press('Enter')
    await detail.getByRole('button', { name: 'Apply' }).click()
    await history.getByText('set: 420 → 60').waitFor()
    await history.getByRole('button', { name: /^Roll back to revision/ }).click()
    await page.getByRole('dialog').getByText('Now it is 60').waitFor()
    await page.getByRole('dialog').getByRole('button', { name: 'Roll back' }).click()
    await history.getByText('rolled back: 60 → 420').waitFor()
    await detail.getByText('420 (7 min)').first().waitFor()
    t.match((await send('GET', `/config/${KEY}`)).body, { value: 420 })

    await detail.getByRole('button', { name: 'Take the stored value away' }).click()
    await page.getByRole('dialog').getByText('300 holds again, the default').waitFor()
    await page.getByRole('dialog').getByRole('button', { name: 'Take it away' }).click()
    await history.getByText('taken out: 420 → not stored').waitFor()
    t.match((await send('GET', `/config/${KEY}`)).body, { value: 300, source: 'default' })
    t.equal(await page.getByText('changed elsewhere').count(), 0, 'what is done here is not told as the deed of another')
  })

  await t.test('a change from elsewhere appears at once, and is marked', async () => {
    await send('PUT', `/config/${KEY}`, { value: 77 }, { 'if-match': '*' })
    const listed = row(page, 'the list of products')
    await listed.getByText('77').waitFor()
    await listed.getByText('changed elsewhere').waitFor()
    await page.getByText(/administrator changed it .* while this page was open/).waitFor()
  })

  await t.test('two who edit the same are told of each other', async (t) => {
    const detail = page.getByRole('region', { name: KEY, exact: true })
    await detail.getByLabel('New value').fill('88')
    await send('PUT', `/config/${KEY}`, { value: 99 }, { 'if-match': '*' })
    await detail.getByText('It has changed since you began: now it is 99').waitFor()
    await detail.getByRole('button', { name: 'Go on with mine' }).click()
    await row(page, 'Then').getByText('88').waitFor()
    await detail.getByRole('button', { name: 'Apply' }).click()
    await detail.getByText('It is 88').waitFor()

    // Where the news does not come, the service itself refuses the second one.
    const other = await signedIn(ADMINISTRATOR, 'configuration')
    await other.page.route('**/config/watch*', () => {})
    await other.page.goto(`${url}/#/operate/configuration?setting=${KEY}`)
    await other.page.reload()
    const late = other.page.getByRole('region', { name: KEY, exact: true })
    await late.getByLabel('New value').fill('11')
    await send('PUT', `/config/${KEY}`, { value: 22 }, { 'if-match': '*' })
    await late.getByRole('button', { name: 'Preview the change' }).click()
    await late.getByText('It has changed since you began: now it is 22').waitFor()
    await late.getByRole('button', { name: 'Take theirs' }).click()
    t.equal(await late.getByLabel('New value').inputValue(), '22')
    t.match((await send('GET', `/config/${KEY}`)).body, { value: 22 })
    t.strictSame(other.faults.filter((fault) => !/status of 412/.test(fault)), [])
    await other.page.close()
  })

  await t.test('what the environment says is shown with how to change it', async () => {
    await page.getByLabel('Filter').fill('CACHE_MAX_ITEMS')
    await page.getByRole('link', { name: 'CACHE_MAX_ITEMS' }).click()
    await page.getByText('set CACHE_MAX_ITEMS in the environment or in .env').waitFor()
    await page.getByRole('button', { name: 'Close' }).click()
    await page.locator('a:focus', { hasText: 'CACHE_MAX_ITEMS' }).waitFor()
  })

  await t.test('a value is edited by its type, and the service has the last word', async (t) => {
    await page.getByLabel('Filter').fill('')
    // By the name of the setting: the one before is there until the address has changed.
    const opened = async (key: string) => {
      await page.getByRole('link', { name: key }).click()
      const detail = page.getByRole('region', { name: key, exact: true })
      return { detail, value: detail.getByLabel('New value'), preview: detail.getByRole('button', { name: 'Preview the change' }) }
    }
    const strategy = await opened('cache.memory.strategy')
    await strategy.value.selectOption('lfu')
    await strategy.preview.click()
    await row(page, 'Then').getByText('lfu').waitFor()
    const quotas = await opened('cache.memory.quotas')
    await quotas.value.fill('{"shop":')
    await quotas.preview.click()
    await quotas.detail.getByText('is not JSON').waitFor()
    await quotas.value.fill('{"shop": {"max_items": 9000, "max_memory": 1000}}')
    await quotas.preview.click()
    await quotas.detail.getByRole('alert').filter({ hasText: '(422)' }).waitFor()
    const limit = await opened('rate_limits.requests')
    await limit.value.fill('10/fortnight')
    await limit.preview.click()
    await limit.detail.locator('.fault', { hasText: 'fortnight' }).waitFor()
    t.match((await send('GET', '/config/rate_limits.requests')).body, { source: 'environment' })
    await row(page, 'this one answers').getByText('the last').waitFor()
  })

  await t.test('a valet key is issued, used, and revoked', async (t) => {
    await open(page, 'Valet keys')
    await page.getByRole('button', { name: 'Issue', exact: true }).click()
    await page.getByText('needs at least one scope').waitFor()
    await page.getByLabel('Scopes: products:read').check()
    await page.getByLabel('Time to live').fill('10 min')
    await page.getByLabel('What for').fill('For the test')
    await page.getByRole('button', { name: 'Issue', exact: true }).click()
    const once = page.getByRole('region', { name: 'The new valet key' })
    const token = (await once.getByLabel('The new credential').innerText()).trim()
    t.equal((await send('GET', '/products', undefined, {}, token)).status, 200)
    t.equal((await send('GET', '/items', undefined, {}, token)).status, 403)
    t.match(await once.getByLabel('A command that uses it').innerText(), /^curl .*\/products'/)
    await once.getByRole('button', { name: 'Copy' }).first().click()
    await once.getByText('Copied').first().waitFor({ state: 'attached' })
    t.equal(await page.evaluate('navigator.clipboard.readText()'), token)
    await once.getByRole('button', { name: 'I have it' }).click()
    t.notMatch(await page.content(), token, 'it is shown once')
    const { body: { token: another } } = await send<{ token: string }>('POST', '/valet/token', { scopes: ['items:read'], description: 'Another' })
    const listed = row(page, 'For the test')
    await listed.getByText('live').waitFor()
    t.strictSame(await inspect(page, 'operate-valet-keys'), [])
    await listed.getByRole('button', { name: /^Revoke/ }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
    await listed.getByText('revoked', { exact: true }).waitFor()
    t.equal((await send('GET', '/products', undefined, {}, token)).status, 401)

    await row(page, 'Another').getByText('live').waitFor()
    await page.getByLabel('All of one issuer').fill('administrator')
    await page.getByRole('button', { name: 'Revoke them' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
    await page.getByText('1 valet key is revoked that administrator had issued').waitFor()
    t.equal((await send('GET', '/items', undefined, {}, another)).status, 401)
  })

  await t.test('an API key is created, used, rotated, and revoked', async (t) => {
    await open(page, 'API keys')
    await page.getByText('There are no API keys').waitFor()
    await page.getByLabel('Name', { exact: true }).fill('Shop front')
    await page.getByLabel('Scopes: items:read').check()
    await page.getByRole('button', { name: 'Create', exact: true }).click()
    const once = page.getByRole('region', { name: 'The new API key' })
    const key = (await once.getByLabel('The new credential').innerText()).trim()
    t.equal((await send('GET', '/items', undefined, {}, key)).status, 200)
    await once.getByRole('button', { name: 'I have it' }).click()
    await page.getByRole('button', { name: 'Rotate the API key Shop front' }).click()
    await page.getByLabel('Overlap').fill('0')
    await page.getByRole('dialog').getByRole('button', { name: 'Rotate' }).click()
    await once.waitFor()
    const next = (await once.getByLabel('The new credential').innerText()).trim()
    t.not(next, key)
    t.strictSame([(await send('GET', '/items', undefined, {}, key)).status, (await send('GET', '/items', undefined, {}, next)).status], [401, 200])
    t.strictSame(await inspect(page, 'operate-api-keys'), [])
    await once.getByRole('button', { name: 'I have it' }).click()
    await page.getByRole('button', { name: 'Revoke the API key Shop front' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
    await page.getByText('The API key Shop front is revoked').waitFor()
    t.equal((await send('GET', '/items', undefined, {}, next)).status, 401)
  })

  await t.test('the audit log shows all that, and what comes', async (t) => {
    await open(page, 'Audit log')
    for (const action of ['key.revoke', 'key.rotate', 'valet.revoke', 'valet.issue', 'config.roll-back', 'config.reset', 'config.change']) await row(page, action).first().waitFor()
    await row(page, 'key.revoke').first().getByText('Details').click()
    await row(page, 'key.revoke').first().getByText('keys:delete').waitFor()
    await page.getByLabel('What', { exact: true }).fill('config.change')
    await page.getByRole('button', { name: 'Search' }).click()
    await eventually(async () => await row(page, 'key.revoke').count() === 0, 'the filter')
    t.strictSame(await inspect(page, 'operate-audit'), [])
    await row(page, `config/${KEY}`).first().waitFor()
    const before = await row(page, 'config.change').count()
    await send('PUT', `/config/${KEY}`, { value: 23 }, { 'if-match': '*' })
    await eventually(async () => await row(page, 'config.change').count() > before, 'what is new')
  })

  await t.test('events appear as they happen', async (t) => {
    await open(page, 'Live events')
    await page.getByText('live', { exact: true }).waitFor()
    await page.getByText('Nothing has happened yet').waitFor()
    const product = async (name: string) => await send('POST', '/products', { name, price: 1.5, category: 'Groceries' })
    t.equal((await product('Salt')).status, 201)
    await row(page, 'product.created').getByText('Details').click()
    await row(page, 'product.created').getByText('"Salt"').waitFor()
    await page.getByRole('button', { name: 'Pause' }).click()
    await product('Pepper')
    await page.getByRole('button', { name: 'Resume (1 new)' }).click()
    await eventually(async () => await row(page, 'product.created').count() === 2, 'both')
    await page.getByLabel('Event', { exact: true }).fill('{"type": "opened"')
    await page.getByRole('button', { name: 'Publish' }).click()
    await page.getByText('is not JSON').waitFor()
    await page.getByLabel('Event', { exact: true }).fill('{"type": "opened"}')
    await page.getByRole('button', { name: 'Publish' }).click()
    await page.getByText('Published as test.opened').waitFor()
    await row(page, 'test.opened').waitFor()
    t.strictSame(await inspect(page, 'operate-events'), [])
    await page.getByLabel('Types').fill('test.*')
    await page.getByRole('button', { name: 'Listen to these' }).click()
    await page.getByText('live', { exact: true }).waitFor()
    await product('Sugar')
    await page.getByRole('button', { name: 'Publish' }).click()
    await row(page, 'test.opened').waitFor()
    t.equal(await row(page, 'product.created').count(), 0)
  })

  await t.test('a dead letter is tried again, or given up for good', async (t) => {
    await page.getByRole('tab', { name: 'Live events' }).press('ArrowRight')
    await page.getByRole('tab', { name: 'Dead letters', selected: true }).waitFor()
    await page.getByText('There are no dead letters').waitFor()
    const client = new pg.Client({ connectionString: database })
    await client.connect()
    t.teardown(async () => { await client.end() })
    // As the delivery leaves an event whose attempts have all failed.
    const { rows } = await client.query<{ id: string }>('SELECT id FROM events ORDER BY position LIMIT 3')
    const setAside = async (id: string): Promise<void> => {
      await client.query('DELETE FROM event_inbox WHERE event_id = $1 AND consumer = $2', [id, 'cache'])
      await client.query('INSERT INTO event_failures (consumer, event_id, attempts, error, next_attempt_at) VALUES ($1, $2, 5, $3, NULL)', ['cache', id, 'The cache was away'])
    }
    const handled = async (): Promise<number | null> => (await client.query('SELECT FROM event_inbox WHERE consumer = $1 AND event_id = ANY($2)', ['cache', rows.map(({ id }) => id)])).rowCount
    await eventually(async () => await handled() === rows.length, 'what is to be done is done', 20_000)
    for (const { id } of rows) await setAside(id)
    await eventually(async () => await row(page, 'The cache was away').count() === 3, 'the letters')
    t.strictSame(await inspect(page, 'operate-dead-letters'), [])
    await row(page, 'The cache was away').first().getByRole('button', { name: /^Retry/ }).click()
    await page.getByText('is tried again by cache').waitFor()
    await eventually(async () => await row(page, 'The cache was away').count() === 2, 'one less')
    await eventually(async () => (await client.query('SELECT FROM event_failures')).rowCount === 2, 'it is handled', 20_000)
    await setAside(rows[0]!.id)
    await eventually(async () => await row(page, 'The cache was away').count() === 3, 'it is there again')
    await row(page, 'The cache was away').last().getByRole('button', { name: /^Remove/ }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Remove it' }).click()
    await page.getByText('is given up for good by cache').waitFor()
    await eventually(async () => await row(page, 'The cache was away').count() === 2, 'one less')
    await page.getByRole('button', { name: 'Retry all' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Retry them' }).click()
    await page.getByText('There are no dead letters').waitFor()
    await eventually(async () => (await client.query('SELECT FROM event_failures')).rowCount === 0, 'they are handled', 20_000)
  })

  await t.test('a webhook is created, watched, changed, paused, rotated and removed', async (t) => {
    const got: { type: string, signatures: number }[] = []
    let status = 500
    const receiver = createServer((request, response) => {
      const parts: Buffer[] = []
      request.on('data', (part: Buffer) => { parts.push(part) }).on('end', () => {
        got.push({ type: (JSON.parse(Buffer.concat(parts).toString()) as { type: string }).type, signatures: String(request.headers['webhook-signature']).split(' ').length })
        response.writeHead(status).end()
      })
    }).listen(0, '127.0.0.1')
    t.teardown(() => {
      receiver.close()
      receiver.closeAllConnections()
    })
    await eventually(() => receiver.listening, 'it listens')
    const address = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`
    const publish = async (type: string): Promise<void> => { t.equal((await send('POST', '/events', { channel: 'hooked', event: { type } })).status, 201) }

    await open(page, 'Webhooks')
    await page.getByText('There are no webhooks').waitFor()
    await page.getByLabel('Address').fill('nowhere')
    await page.getByRole('button', { name: 'Create' }).click()
    await page.getByText('must be an address that begins with https://').waitFor()
    await page.getByLabel('Address').fill('https://strangers.example/hook')
    await page.getByRole('button', { name: 'Create' }).click()
    await page.getByRole('alert').getByText(/WEBHOOK_HOSTS/).waitFor()
    await page.getByLabel('Address').fill(address)
    await page.getByLabel('Types').fill('hooked.*')
    await page.getByLabel('Description').fill('Of a test')
    await page.getByRole('button', { name: 'Create' }).click()
    const once = page.getByRole('region', { name: 'The secret of the webhook' })
    const secret = await once.getByText(/^whsec_/).innerText()
    t.match(secret, /^whsec_.{40,}/)
    t.equal(await once.getByText('To try it in a shell').count(), 0)
    await once.getByRole('button', { name: 'I have it' }).click()
    t.notMatch(await page.content(), /whsec_/, 'it is not shown again')
    const listed = row(page, 'Of a test')
    await listed.getByText('active').waitFor()

    await publish('one')
    await listed.getByRole('button', { name: /^Deliveries/ }).click()
    const deliveries = page.getByRole('region', { name: 'Deliveries', exact: true })
    const sent = row(page, 'hooked.one')
    await sent.getByText('The receiver answered with 500').waitFor()
    await sent.getByText('pending').waitFor()
    t.strictSame(await inspect(page, 'operate-webhooks'), [])
    status = 204
    await sent.getByRole('button', { name: /^Send again/ }).click()
    await deliveries.getByText('hooked.one is sent again.').waitFor()
    await sent.getByText('delivered').waitFor()
    await deliveries.getByLabel('Deliveries that are').selectOption('failed')
    await deliveries.getByText('No delivery is like that').waitFor()
    await deliveries.getByRole('button', { name: 'Close the deliveries' }).click()

    await listed.getByRole('button', { name: /^Pause/ }).click()
    await listed.getByText('paused').waitFor()
    await publish('two')
    await listed.getByRole('button', { name: /^Rotate/ }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Rotate' }).click()
    t.not(await once.getByText(/^whsec_/).innerText(), secret)
    await once.getByRole('button', { name: 'I have it' }).click()
    t.equal(got.filter(({ type }) => type === 'hooked.two').length, 0, 'while it is paused, events wait')
    await listed.getByRole('button', { name: /^Resume/ }).click()
    await listed.getByText('active').waitFor()
    await eventually(() => got.some(({ type, signatures }) => type === 'hooked.two' && signatures === 2), 'it comes with both signatures', 20_000)

    await listed.getByRole('button', { name: /^Change/ }).click()
    await page.getByRole('dialog').getByLabel('Types').fill('')
    await page.getByRole('dialog').getByLabel('Description').fill('Of all events')
    await page.getByRole('dialog').getByRole('button', { name: 'Change' }).click()
    await row(page, 'Of all events').getByText('all', { exact: true }).waitFor()
    t.match((await send('GET', '/webhooks')).body, { webhooks: [{ url: address, types: null, description: 'Of all events', state: 'active' }] })
    await row(page, 'Of all events').getByRole('button', { name: /^Remove/ }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click()
    await page.getByText('There are no webhooks').waitFor()
    t.match((await send('GET', '/webhooks')).body, { webhooks: [] })
  })

  await t.test('access is explained', async () => {
    await open(page, 'Explain access')
    await page.getByRole('button', { name: 'Explain' }).click()
    await page.getByText('let through').waitFor()
    await page.getByLabel('Method').selectOption('DELETE')
    await page.getByLabel('Path').fill('/api/cache/delete/user:1')
    await page.getByRole('button', { name: 'Explain' }).click()
    await page.getByText('turned away').waitFor()
    await page.getByLabel('Path').fill('/nowhere')
    await page.getByRole('button', { name: 'Explain' }).click()
    await page.getByText('No operation takes DELETE /nowhere').waitFor()
  })
  t.strictSame(faults.filter((fault) => !/status of (?:400|404|412|422)/.test(fault)), [], 'nothing went wrong unseen')

  await t.test('who may only read is offered nothing else', async (t) => {
    const { body: { key } } = await send<{ key: string }>('POST', '/keys', { scopes: ['config:read', 'events:read'], name: 'Looker' })
    const { page, faults } = await signedIn(key, 'configuration')
    t.strictSame(await page.getByRole('tab').allInnerTexts(), ['Configuration', 'Live events', 'Dead letters', 'Webhooks'])
    await page.getByRole('link', { name: KEY }).click()
    await page.getByRole('region', { name: 'History' }).getByText(/set: .* → 23/).waitFor()
    for (const name of ['Preview the change', 'Take the stored value away', /^Roll back/]) t.equal(await page.getByRole('button', { name }).count(), 0, String(name))
    await open(page, 'Live events')
    await page.getByText('live', { exact: true }).waitFor()
    t.equal(await page.getByRole('button', { name: 'Publish' }).count(), 0)
    await open(page, 'Webhooks')
    await page.getByText('Whoever holds events:write creates them.').waitFor()
    t.equal(await page.getByRole('button', { name: 'Create' }).count(), 0)
    t.strictSame(faults, [])
    await page.close()
  })
})
