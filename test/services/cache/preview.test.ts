import t from 'tap'
import { previewOf } from '../../../services/cache/preview.js'

async function * portions (...given: [key: string, ...tags: string[]][][]) {
  for (const portion of given) yield portion.map(([key, ...tags]) => ({ key, tags, expiresAt: 1000, goneAt: key === 'b' ? 2000 : 1000 }))
}

void t.test('what has a tag or matches counts, once, however often it comes', async (t) => {
  const entries = () => portions([['a', 'x'], ['b'], ['c', 'y', 'x']], [['a', 'x'], ['temp:1'], ['temp:2', 'x']], [['b']])
  const keys = async (what: Parameters<typeof previewOf>[1]) => (await previewOf(entries(), what)).sample.map(({ key }) => key)
  t.strictSame(await previewOf(entries(), { tags: ['y'] }), { removed: 1, outdated: 0, isComplete: true, sample: [{ key: 'c', tags: ['y', 'x'] }] })
  t.strictSame(await keys({ tags: ['x'] }), ['a', 'c', 'temp:2'])
  t.strictSame(await keys({ tags: ['y'], pattern: 'temp:*' }), ['c', 'temp:1', 'temp:2'])
  t.strictSame(await keys({ all: true }), ['a', 'b', 'c', 'temp:1', 'temp:2'])
  t.strictSame(await keys({}), [])
  t.match(await previewOf(entries(), { all: true, soft: true }), { removed: 4, outdated: 1 }, 'a soft one leaves what has a grace')
  t.match(await previewOf(entries(), { all: true }), { removed: 5, outdated: 0 })
})

void t.test('some are named, and too many to count are at least so many', async (t) => {
  let isClosed = false
  async function * endless () {
    try {
      for (let at = 0; ; at += 1000) yield Array.from({ length: 1000 }, (_, index) => ({ key: `k${at + index}`, tags: [], expiresAt: 1000, goneAt: 1000 }))
    } finally {
      isClosed = true
    }
  }
  const { removed: count, isComplete, sample } = await previewOf(endless(), { pattern: 'k*' })
  t.ok(count > 0 && count <= 100_000)
  t.strictSame([isComplete, sample.length], [false, 20])
  t.ok(isClosed, 'nothing more is read')
})
