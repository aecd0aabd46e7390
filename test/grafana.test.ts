import { readFileSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import { alerts, alertsText, dashboard, queries, runbook } from './support/grafana.js'
import { mentionedIn } from './support/promql.js'

const CHOSEN = '$' + '{datasource}'

t.test('what a query mentions is found', async (t) => {
  t.strictSame(mentionedIn('sum by (job, le) (rate(a_bucket{x="1", y!~"b\\"{c}"}[5m])) / on (job) group_left b > 0.5 and c offset 1h or vector(0)'), {
    selectors: [{ name: 'a_bucket', text: 'a_bucket{x="1",y!~"b\\"{c}"}', labels: ['x', 'y'] }, { name: 'b', text: 'b', labels: [] }, { name: 'c', text: 'c', labels: [] }],
    grouping: ['job', 'le', 'job']
  })
  t.throws(() => mentionedIn('a @ 5'), /what is this/)
})

t.test('the dashboard', async (t) => {
  t.ok(dashboard.schemaVersion >= 39)
  t.strictSame(dashboard.templating.list.map(({ name, type }) => [name, type]), [['datasource', 'datasource'], ['job', 'query'], ['instance', 'query'], ['backend', 'query']])
  const ids = dashboard.panels.map(({ id }) => id)
  t.equal(new Set(ids).size, ids.length, 'panels have ids of their own')
  for (const { title, type, description, gridPos: { x, y, w, h }, targets = [], datasource } of dashboard.panels) {
    t.ok(x >= 0 && y >= 0 && x + w <= 24 && h > 0, `${title} is on the page`)
    if (type === 'row') continue
    t.ok(description !== undefined && description.length > 20, `${title} says what it shows`)
    t.equal(datasource?.uid, CHOSEN, `${title} asks the data source that was chosen`)
    t.ok(targets.length > 0, `${title} asks for something`)
    for (const { expr } of targets) t.match(mentionedIn(expr.replaceAll('$__rate_interval', '1m')).selectors.map(({ text }) => text).join(' '), /job=~"\$job",instance=~"\$instance"/, `${title} asks for those that were chosen`)
  }
  const overlaps = dashboard.panels.filter(({ gridPos: a }, at) => dashboard.panels.slice(at + 1).some(({ gridPos: b }) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h))
  t.strictSame(overlaps.map(({ title }) => title), [], 'no panel covers another')
  t.notMatch(JSON.stringify(dashboard), /https?:\/\/(?!prometheus\.io\/docs)/, 'nothing of another host')
  t.ok(queries.length > 80)
})

t.test('each alert says how bad it is, what it is and what to do', async (t) => {
  const headings = new Set([...runbook.matchAll(/^#+ (\w+)$/gm)].map(([, heading]) => heading))
  for (const { alert, labels, annotations } of alerts) {
    t.match(alert, /^Larder[A-Z]\w+$/)
    t.ok(['info', 'warning', 'critical'].includes(labels.severity ?? ''), `${alert} has a severity`)
    t.ok((annotations.summary ?? '').length > 15 && (annotations.description ?? '').length > 30, `${alert} is described`)
    t.equal(annotations.runbook_url, `docs/alerts.md#${alert.toLowerCase()}`)
    t.ok(headings.has(alert), `docs/alerts.md has a heading ${alert}`)
  }
  t.equal(new Set(alerts.map(({ alert }) => alert)).size, alerts.length)
  t.strictSame([...headings].filter((heading) => heading!.startsWith('Larder') && !alerts.some(({ alert }) => alert === heading)), [], 'and none that there is not')
})

t.test('each alert is tried by promtool', async (t) => {
  const text = readFileSync(new URL('fixtures/alerts.yml', import.meta.url), 'utf8')
  const tried = parse(text) as { rule_files: string[] }
  t.strictSame(tried.rule_files, ['../../grafana/alerts.yml'])
  for (const { alert, labels: { severity } } of alerts) t.match(text, `alertname="${alert}", severity="${severity}"`)
  t.match(alertsText, /^groups:$/m)
})

t.test('what the pages for operators link to is there', async (t) => {
  const page = (name: string): string => readFileSync(new URL(`../docs/${name}`, import.meta.url), 'utf8')
  const anchors = (text: string): Set<string> => new Set([...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading!.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-')))
  for (const from of ['operations.md', 'alerts.md']) {
    for (const [link, to, anchor] of page(from).matchAll(/\]\(([\w./-]*)(?:#([\w-]+))?\)/g)) {
      const text = page(to === '' ? from : to!)
      if (anchor !== undefined) t.ok(anchors(text).has(anchor), `${from}: ${link}`)
    }
  }
})
