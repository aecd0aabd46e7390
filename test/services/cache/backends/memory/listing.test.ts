import t from 'tap'
import { NO_TAGS, sizeOf } from '../../../../../services/cache/entry.js'
import { Random } from '../../random.js'
import { setUp } from './setup.js'

t.test('pages show each key once while others write, and their entries as they are', async (t) => {
  const { memory, put } = setUp({ maxItems: 100_000, maxMemory: 1e9 })
  const random = new Random()
  const count = 20_000
  for (let at = 0; at < count; at++) put(`stays:${at}`)
  for (let at = 0; at < 2000; at++) put(`goes:${at}`)
  const seen: string[] = []
  let cursor: string | undefined
  let churn = 0
  let wrong = 0
  do {
    const page = memory.list('n', { pattern: 'st?ys:*', limit: 1700, cursor })
    // Between the slices of the pass, slots change hands.
    for (let turn = 0; turn < 3; turn++) {
      for (let at = 0; at < 150; at++) {
        memory.delete('n', `goes:${random.below(2000)}`)
        put(`comes:${++churn}`)
        put(`stays:${random.below(count)}`, { value: '2' })
        memory.delete('n', `comes:${random.below(churn)}`)
      }
      await new Promise((resolve) => { setImmediate(resolve) })
    }
    const { entries, total, cursor: next } = await page
    if (total !== count) wrong++
    for (const { key } of entries) {
      if (!key.startsWith('stays:')) wrong++
      seen.push(key)
    }
    cursor = next
  } while (cursor !== undefined)
  t.equal(seen.length, count, `seed ${random.seed}`)
  t.equal(new Set(seen).size, count, 'none came twice')
  t.equal(wrong, 0)
})

t.test('a listing takes a pattern, a limit and an offset, and touches nothing', async (t) => {
  const { clock, memory, put } = setUp()
  for (let at = 0; at < 10; at++) put(`even:${at * 2}`)
  for (let at = 0; at < 10; at++) put(`odd:${at * 2 + 1}`)
  put('even:gone', { expiresAt: clock.at + 5 })
  put('even:stale', { expiresAt: clock.at + 5, goneAt: clock.at + 500 })
  clock.at += 5
  const first = await memory.list('n', { pattern: 'even:*', limit: 4 })
  t.strictSame([first.total, first.entries.length, typeof first.cursor], [10, 4, 'string'])
  t.strictSame(first.entries.map(({ accessCount, accessedAt }) => [accessCount, accessedAt]), Array(4).fill([0, clock.at - 5]))
  const second = await memory.list('n', { pattern: 'even:*', limit: 4, offset: 4 })
  const again = await memory.list('n', { pattern: 'even:*', limit: 4, cursor: first.cursor })
  t.strictSame(second.entries, again.entries, 'the offset and the cursor agree')
  t.strictSame(second.entries.map(({ key }) => key), ['even:8', 'even:10', 'even:12', 'even:14'])
  const last = await memory.list('n', { pattern: 'even:*', limit: 4, offset: 8 })
  t.strictSame([last.total, last.entries.length, last.cursor], [10, 2, undefined])
  t.strictSame(await memory.list('n', { limit: 4, offset: 100 }), { total: 20, entries: [], cursor: undefined })
  t.strictSame(await memory.list('nowhere', { limit: 4 }), { total: 0, entries: [], cursor: undefined })
  for (const cursor of ['_', '-1', 'ä', 'zzzzzzzzzz', 'A']) {
    await t.rejects(memory.list('n', { limit: 1, cursor }), { code: 'ERR_INVALID_CURSOR', statusCode: 400 }, cursor)
  }
})

t.test('a visit shows every entry once and touches nothing', async (t) => {
  const { clock, memory, put } = setUp({ maxItems: 10_000 })
  for (let at = 0; at < 5000; at++) put(`k${at}`, { namespace: at % 2 === 0 ? 'even' : 'odd', expiresAt: clock.at + at + 1 })
  memory.touch(memory.find('even', 'k42'))
  memory.delete('odd', 'k7')
  const seen = new Map<string, unknown>()
  await memory.visit(({ key, ...facts }) => { seen.set(key, facts) })
  t.equal(seen.size, 4999)
  t.strictSame(seen.get('k42'), { namespace: 'even', dataType: 'json', size: sizeOf('k42', '1', NO_TAGS, undefined), createdAt: clock.at, expiresAt: clock.at + 43, accessCount: 1 })
  t.equal(memory.entry(memory.find('even', 'k42')).accessCount, 1)
})

t.test('a sweep leaves the event loop to others', async (t) => {
  const { clock, memory, put } = setUp({ maxItems: 1e6, maxMemory: 1e9 })
  for (let at = 0; at < 600_000; at++) put(`k${at}`, { expiresAt: clock.at + (at % 2 === 0 ? 1 : 1e6) })
  clock.at += 10
  let turns = 0
  const counting = setInterval(() => { turns++ }, 0)
  await Promise.all([memory.sweep(), memory.sweep(), memory.sweep()])
  clearInterval(counting)
  t.equal(memory.items, 300_000)
  t.ok(turns > 3, `${turns} turns passed meanwhile`)
})
