import t from 'tap'
import type { Setting, SettingChange } from '../../schemas/settings.js'
import { auditFilterOf, auditQuery, withNewest } from '../../dashboard/pages/operate/audit-filter.js'
import { curlLine } from '../../dashboard/pages/operate/curl.js'
import { filterKeys } from '../../dashboard/pages/operate/list-of-keys.js'
import { EMPTY_API_KEY_FORM, EMPTY_VALET_FORM, faultsIn, newApiKey, newValetKey } from '../../dashboard/pages/operate/new-key.js'
import { newWebhook } from '../../dashboard/pages/operate/new-webhook.js'
import { mayMakeApiKeys, offeredTabs, valetPermissions } from '../../dashboard/pages/operate/offered.js'
import { heard, NOTHING_HEARD, paused, resumed, type Listened } from '../../dashboard/pages/operate/recent.js'
import { scopeGroups, scopeText, toggled } from '../../dashboard/pages/operate/scope-list.js'
import { changedOverrides, changedSetting, changeText, filterSettings, historyLines, shownValue, valueText, withSetting } from '../../dashboard/pages/operate/setting-list.js'
import { hintOf, kindOf, parseValue, textOf } from '../../dashboard/pages/operate/setting-value.js'

const seconds = { type: 'number', minimum: 0, maximum: 86_400, unit: 'seconds' }
const limit = { type: ['integer', 'null'], minimum: 1, maximum: 2 ** 40, unit: 'bytes' }
const word = { type: 'string', enum: ['lru', 'lfu'] }
const setting: Setting = { key: 'cache.memory.default_ttl', value: 300, source: 'default', revision: 0, default: 300, changeable: true, schema: seconds, description: 'How long an entry lives.' }

t.test('a setting is edited by its type', async (t) => {
  t.strictSame([seconds, limit, word, { type: 'boolean' }, { type: 'string' }, { type: 'object' }, {}].map(kindOf), ['number', 'number', 'choice', 'switch', 'text', 'json', 'json'])
  t.strictSame([textOf(5, seconds), textOf(null, limit), textOf('lru', word), textOf(false, { type: 'boolean' }), textOf({ a: 1 }, { type: 'object' })], ['5', '', 'lru', 'false', '{\n  "a": 1\n}'])
  const cases: [string, object, unknown][] = [
    ['90', seconds, 90], ['5 min', seconds, 300], ['1.5h', seconds, 5400], ['1 day', seconds, 86_400], [' 0 ', seconds, 0], ['0.25', seconds, 0.25],
    ['64 MiB', limit, 67_108_864], ['2k', limit, 2048], ['1_000', limit, 1000], ['', limit, null], ['lfu', word, 'lfu'], ['true', { type: 'boolean' }, true],
    ['false', { type: 'boolean' }, false], ['10/hour', { type: 'string', minLength: 1 }, '10/hour'], ['{"shop": {"max_items": 5}}', { type: 'object' }, { shop: { max_items: 5 } }]
  ]
  for (const [text, schema, value] of cases) t.strictSame(parseValue(text, schema), { value }, text)
})

t.test('what cannot be a value is told in words', async (t) => {
  const cases: [string, object, RegExp][] = [
    ['', seconds, /^needs a value$/], ['soon', seconds, /^must be a number of seconds, such as/], ['5 miles', seconds, /^must be a number of seconds/], ['2 d', seconds, /^must be from 0 to 86400 seconds$/],
    ['-1', seconds, /^must be from/], ['1.5', limit, /^must be a whole number of bytes$/], ['0', limit, /^must be from 1/], ['0', { type: 'integer', minimum: 1 }, /^must be 1 or more$/],
    ['best', word, /^must be one of lru, lfu$/], ['yes', { type: 'boolean' }, /^must be on or off$/], ['', { type: 'string', minLength: 1 }, /^needs a value$/],
    ['abc', { type: 'string', maxLength: 2 }, /^must have at most 2/], ['{', { type: 'object' }, /^is not JSON: /], [' ', { type: 'object' }, /^needs a value as JSON$/], ['1e999', seconds, /number/]
  ]
  for (const [text, schema, says] of cases) t.match(parseValue(text, schema).fault, says, text)
  t.equal(hintOf(seconds), '0 to 86400 seconds; as in 90, 5 min, 2 h or 1 d')
  t.match(hintOf(limit), /empty: no limit$/)
  t.equal(hintOf(word), undefined)
})

t.test('settings are found by words and source', async (t) => {
  const other: Setting = { ...setting, key: 'PORT', value: 8000, source: 'environment', description: 'Where it listens.' }
  const keys = (text: string, source = '') => filterSettings([setting, other], { text, source }).map(({ key }) => key)
  t.strictSame(keys(''), [setting.key, 'PORT'])
  t.strictSame([keys('TTL memory'), keys('listens'), keys('8000'), keys('ttl listens'), keys('', 'store'), keys('', 'environment')], [[setting.key], ['PORT'], ['PORT'], [], [], ['PORT']])
  t.strictSame([valueText(null), valueText(true), valueText('a'), valueText({ a: 1 })], ['none', 'on', 'a', '{"a":1}'])
  t.strictSame([shownValue(setting), shownValue({ value: 0, schema: seconds }), shownValue({ value: 2048, schema: limit }), shownValue({ value: 'lru', schema: word })],
    ['300 (5 min)', '0 (for ever)', '2048 (2 KiB)', 'lru'])
})

t.test('a change by anybody is seen in the list, an old one is not', async (t) => {
  const change: SettingChange = { revision: 7, key: setting.key, value: 60, action: 'set', changed_at: '2026-01-31T12:00:00.000Z', changed_by: 'key:a' }
  const changed = changedSetting(setting, change)!
  t.match(changed, { value: 60, source: 'store', revision: 7, updated_by: 'key:a' })
  t.equal(changedSetting(changed, change), changed)
  t.equal(changedSetting(changed, { ...change, revision: 8, value: undefined }), undefined, 'what holds without it has to be asked')
  t.match(withSetting([setting], changed), [{ value: 60, schema: seconds }])
  const ofShop = { ...change, namespace: 'shop' }
  const overrides = changedOverrides(changedOverrides([], { ...ofShop, namespace: 'other', revision: 6 }), ofShop)
  t.match(overrides, [{ namespace: 'other' }, { namespace: 'shop', value: 60, revision: 7 }])
  t.strictSame(changedOverrides(overrides, { ...ofShop, value: 5 }), overrides)
  t.match(changedOverrides(overrides, { ...ofShop, revision: 8, value: undefined }).map(({ namespace }) => namespace), ['other'])
  const lines = historyLines([{ ...change, revision: 9, action: 'rolled_back', value: 5 }, { ...change, revision: 8, action: 'deleted', value: undefined }, change], false)
  t.strictSame(lines.map(changeText), ['rolled back: not stored → 5', 'taken out: 60 → not stored', 'set: 60'])
  t.equal(changeText(historyLines([change], true)[0]!), 'set: not stored → 60')
})

t.test('a form of a valet key becomes what the API takes, or says what is wrong with it', async (t) => {
  t.strictSame(newValetKey({ ...EMPTY_VALET_FORM, scopes: ['items:read'] }), { body: { scopes: ['items:read'] } })
  t.strictSame(newValetKey({
    scopes: ['cache:read'], resources: 'cache/default/a\n cache/default/b,', namespaces: 'default', ttl: '5 min', notBefore: '2026-01-31T12:00:00Z', maxUses: '3', ip: '10.0.0.0/8, 192.0.2.7', maxBytes: '64 KiB', policy: 'p ', description: ' x'
  }).body, {
    scopes: ['cache:read'], resources: ['cache/default/a', 'cache/default/b'], namespaces: ['default'], ttl: 300, not_before: '2026-01-31T12:00:00.000Z', max_uses: 3, ip: ['10.0.0.0/8', '192.0.2.7'], max_bytes: 65_536, policy: 'p', description: 'x'
  })
  t.match(newValetKey({ ...EMPTY_VALET_FORM, ttl: '2 h', maxUses: '0', notBefore: 'soon', maxBytes: 'many' }).faults, {
    scopes: /at least one/, ttl: /from 1 to 3600/, max_uses: /from 1/, not_before: /a date/, max_bytes: /number of bytes/
  })
})

t.test('a form of an API key does as well', async (t) => {
  t.strictSame(newApiKey({ ...EMPTY_API_KEY_FORM, name: ' shop ', scopes: ['cache:read'], forbid: ['cache:delete'], namespaces: 'a,b', rateLimit: '10/hour', ttl: '1 d' }).body,
    { name: 'shop', scopes: ['cache:read'], forbid: ['cache:delete'], namespaces: ['a', 'b'], rate_limit: '10/hour', ttl: 86_400 })
  t.match(newApiKey({ ...EMPTY_API_KEY_FORM, scopes: ['cache:read'], ttl: '1 d', expiresAt: '2030-01-01T00:00' }).faults, { expires_at: /one of them/ })
  t.strictSame(faultsIn([{ path: 'body/scopes/0', message: 'is unknown' }, { path: 'rate_limit', message: 'is none' }]), { scopes: 'is unknown', rate_limit: 'is none' })
})

t.test('a form of a webhook does as well', async (t) => {
  t.strictSame(newWebhook({ url: ' https://a.example/hook ', types: 'recipe.*, product.deleted\n', description: ' index ' }).body, { url: 'https://a.example/hook', types: 'recipe.*,product.deleted', description: 'index' })
  t.match(newWebhook({ url: 'https://a.example', types: ' ', description: '' }).body, { types: null, description: '' })
  for (const url of ['', 'a.example', 'ftp://a.example', 'https://']) t.match(newWebhook({ url, types: '', description: '' }).faults, { url: /https/ })
})

t.test('scopes are offered by resource, from what the caller holds', async (t) => {
  t.strictSame(scopeGroups(['cache:write', 'cache:read', 'valet:read', 'valet:issue']), [{ resource: 'cache', actions: ['read', 'write'] }, { resource: 'valet', actions: ['read', 'issue'] }])
  t.strictSame([toggled(['a:read'], 'b:read'), toggled(['a:read', 'b:read'], 'a:read')], [['a:read', 'b:read'], ['b:read']])
  t.equal(scopeText(['cache:read', 'cache:write', 'items:*', '*']), 'cache:read, write · items:* · *')
})

t.test('what a credential may not see is not offered', async (t) => {
  const caller = { kind: 'api_key' as const, id: 'key:a', scopes: [], namespaces: null, resources: null, expires_at: null }
  const offered = (permissions: string[], limits = {}) => offeredTabs({ ...caller, permissions, ...limits })
  t.strictSame(offered(['config:read', 'valet:issue', 'keys:write', 'audit:read', 'events:read', 'metrics:read']), ['configuration', 'valet', 'keys', 'audit', 'events', 'dead-letters', 'webhooks', 'breakers', 'access'])
  t.strictSame(offered(['events:write']), ['events', 'webhooks'])
  t.strictSame(offered(['events:read'], { namespaces: ['shop'] }), ['events', 'dead-letters'], 'webhooks speak of all of it')
  t.strictSame(offered(['config:read', 'audit:read', 'valet:read'], { namespaces: ['shop'] }), ['valet', 'audit'])
  t.strictSame(offered(['config:read', 'audit:read', 'valet:read', 'keys:read'], { resources: ['items/7', 'keys/*'] }), ['valet', 'keys'])
  t.strictSame(offered(['metrics:read'], { namespaces: ['shop'] }), [], 'breakers are of the service as a whole')
  t.strictSame(offered(['cache:read']), [])
  t.strictSame(offered(['keys:write'], { kind: 'valet_key' }), [], 'a valet key makes no API keys')
  t.strictSame([mayMakeApiKeys({ ...caller, permissions: ['keys:write'] }), mayMakeApiKeys({ ...caller, permissions: ['keys:write'], resources: ['keys/*'] })], [true, false])
  t.strictSame(valetPermissions({ kind: 'local', permissions: ['cache:read'] }), ['cache:read', 'recipes:read', 'recipes:write', 'recipes:delete'])
  t.strictSame(valetPermissions({ kind: 'api_key', permissions: ['cache:read'] }), ['cache:read'])
})

t.test('a line for a shell uses the credential for what it may do', async (t) => {
  const line = (scopes: string[], more = {}) => curlLine('http://localhost:8000', { secret: 'a.b', scopes, ...more })
  t.equal(line(['items:read']), "curl -H 'Authorization: Bearer a.b' 'http://localhost:8000/items'")
  t.equal(line(['cache:read'], { namespaces: ['shop'] }), "curl -H 'Authorization: Bearer a.b' 'http://localhost:8000/api/cache/keys?namespace=shop'")
  t.match(line(['cache:*'], { resources: ['cache/shop/user:*', 'cache/shop/a/b'] }), "/api/cache/get/a%2Fb?namespace=shop'")
  t.match(line(['products:read'], { resources: ['products/7'] }), "/products/7'")
  t.match(line(['events:read']), /^curl -N /)
  t.match(line(['cache:write']), '-d \'{"key":"hello","value":"world"}\' \'http://localhost:8000/api/cache/set\'')
  t.match(line(['keys:delete']), "/health'")
  t.match(curlLine("http://o'host", { secret: 'x', scopes: ['*'] }), "'http://o'\\''host/")
})

t.test('lists of keys are held to a state and to words', async (t) => {
  const keys = [{ id: 'a', state: 'live', name: 'Shop' }, { id: 'b', state: 'revoked', name: null }]
  const found = (state: string, text: string) => filterKeys(keys, { state, text }, { state: (key) => key.state, texts: ({ id, name }) => [id, name] }).map(({ id }) => id)
  t.strictSame([found('', ''), found('live', ''), found('past', ''), found('', 'shop'), found('past', 'shop')], [['a', 'b'], ['a'], ['b'], ['a'], []])
})

t.test('what is asked of the audit log leaves out what is empty', async (t) => {
  t.strictSame(auditQuery(auditFilterOf({})), {})
  t.strictSame(auditQuery(auditFilterOf({ principal: ' local ', outcome: 'denied', since: '2026-01-31T12:00:00Z', until: 'x', tab: 'y' })), { principal: 'local', outcome: 'denied', since: '2026-01-31T12:00:00.000Z' })
})

t.test('a log that is followed has no hole', async (t) => {
  const entries = (...ids: number[]) => ids.map((id) => ({ id: String(id) }))
  const known = { entries: entries(5, 4, 3, 2), older: 'c' }
  t.strictSame(withNewest(known, entries(7, 6, 5), 'd'), { entries: entries(7, 6, 5, 4, 3, 2), older: 'c' })
  t.strictSame(withNewest(known, entries(9, 8, 7), 'd'), { entries: entries(9, 8, 7), older: 'd' }, 'what is between is not known')
  t.strictSame(withNewest({ entries: [], older: undefined }, entries(1), undefined), { entries: entries(1), older: undefined })
})

t.test('what is listened to is bounded, and waits while it is paused', async (t) => {
  let state: Listened<number> = NOTHING_HEARD
  for (const n of [1, 2, 3, 4]) state = heard(state, n, 3)
  t.strictSame(state.shown, [4, 3, 2])
  state = paused(state)
  for (const n of [5, 6]) state = heard(state, n, 3)
  t.match(state, { shown: [4, 3, 2], waiting: [6, 5], missed: 0 })
  t.strictSame(resumed(state, 3), { shown: [6, 5, 4], waiting: [], isPaused: false, missed: 0 })
  for (const n of [7, 8]) state = heard(state, n, 3)
  t.match(state, { waiting: [8, 7, 6], missed: 1 })
})
