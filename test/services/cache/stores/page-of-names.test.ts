import t from 'tap'
import { PageOfNames } from '../../../../services/cache/stores/page-of-names.js'
import { Random } from '../random.js'

/** All names as pages of a size, gathered anew for each page as a scan brings them: in any order, some twice. */
function paged (names: readonly string[], limit: number): { pages: string[][], totals: number[] } {
  const pages: string[][] = []
  const totals: number[] = []
  for (let after: string | undefined; ;) {
    const found = new PageOfNames<number>({ after, limit })
    for (const [at, name] of names.entries()) found.add(name, at)
    const { names: page, next } = found.page()
    pages.push(page.map(([name]) => name))
    totals.push(found.total)
    if (next === undefined) return { pages, totals }
    after = next
  }
}

void t.test('every name is on one page, in order, and all are counted on each', async (t) => {
  const random = new Random(7)
  for (const count of [0, 1, 99, 100, 101, 30_000]) {
    const names = Array.from({ length: count }, (_, i) => `k${i}`)
    const shuffled = names.map((name) => [random.next(), name] as const).sort(([a], [b]) => a - b).map(([, name]) => name)
    const { pages, totals } = paged([...shuffled, ...shuffled.slice(0, 50)], count > 1000 ? 7000 : 100)
    t.strictSame(pages.flat(), [...names].sort(), String(count))
    t.ok(totals.every((total) => total === count))
    t.ok(pages.slice(0, -1).every(({ length }) => length === (count > 1000 ? 7000 : 100)))
  }
})

void t.test('a page is passed over by offset, and of a name the last thing told counts', async (t) => {
  const found = new PageOfNames<number>({ offset: 6000, limit: 3 })
  for (let i = 20_000; i > 0; i--) found.add(String(i).padStart(5, '0'), 0)
  for (let i = 20_000; i > 0; i--) found.add(String(i).padStart(5, '0'), i)
  t.strictSame(found.page(), { names: [['06001', 6001], ['06002', 6002], ['06003', 6003]], next: '06003' })
  t.equal(found.total, 20_000)
  t.strictSame(new PageOfNames({ offset: 5, limit: 3 }).page(), { names: [], next: undefined })
})
