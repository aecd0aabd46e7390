import { setMaxListeners } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { BEGINNING, type EventPosition, isBefore } from '../../services/events/event.js'
import { EventFeed, type EventSource } from '../../services/events/feed.js'
import type { RecordedEvent } from '../../services/events/outbox.js'
import type { RecentEventsOptions } from '../../services/events/recent-events.js'
import { eventually } from '../support/caches.js'

/** Events in memory, which take some turns to be read, and counts of who reads. */
class Source implements EventSource {
  readonly events: RecordedEvent[] = []
  reads = 0
  readonly most: Record<string, number> = {}
  readonly #reading: Record<string, number> = {}
  #count = 0

  add (): string {
    const id = String(++this.#count)
    const event = { specversion: '1.0', id, source: '/larder', type: 'a', time: '', subject: 'a', datacontenttype: 'application/json', data: null } as const
    // Three events to a transaction; ids of nine and of ten follow each other as numbers, not as text.
    this.events.push({ event, size: 10, xid: String(Math.ceil(this.#count / 3)), position: id })
    return id
  }

  async after (position: EventPosition, limit: number): Promise<RecordedEvent[]> {
    return await this.#read('after', () => this.events.filter((event) => isBefore(position, event)).slice(0, limit))
  }

  async last (): Promise<EventPosition | undefined> { return await this.#read('last', () => this.events.at(-1)) }
  async positionOf (id: string): Promise<EventPosition | undefined> { return await this.#read('positionOf', () => this.events.find(({ event }) => event.id === id)) }

  async #read<T> (name: string, find: () => T): Promise<T> {
    this.reads++
    this.#reading[name] = (this.#reading[name] ?? 0) + 1
    this.most[name] = Math.max(this.most[name] ?? 0, this.#reading[name])
    await turn()
    const found = find()
    for (let i = 0; i < this.reads % 3; i++) await turn()
    this.#reading[name]--
    return found
  }
}

function start (t: Test, keep?: RecentEventsOptions) {
  const source = new Source()
  const feed = new EventFeed(source, (error) => { throw error as Error }, keep)
  const ended = new AbortController()
  setMaxListeners(0, ended.signal)
  const listening: Promise<void>[] = []
  feed.start()
  t.teardown(async () => {
    ended.abort()
    await Promise.all(listening)
    await feed.stop()
  })
  const listen = (from: EventPosition, heard: string[] = [], pace: () => Promise<unknown> = async () => {}, signal = ended.signal): string[] => {
    listening.push((async () => {
      for await (const event of feed.after(from, signal)) {
        if (signal.aborted) break
        heard.push(event.id)
        await pace()
      }
    })())
    return heard
  }
  return { source, feed, listen }
}

t.test('a thousand listeners share what is read', async (t) => {
  const { source, feed, listen } = start(t)
  for (let i = 0; i < 20; i++) source.add()
  const all = await Promise.all(Array.from({ length: 1000 }, async () => listen(await feed.newest())))
  t.ok(source.reads < 20, 'and where they begin')
  const expected: string[] = []
  for (let i = 1; i <= 5; i++) {
    expected.push(source.add())
    feed.wake()
    await eventually(() => all.every((heard) => heard.length === i), 'all hear it', 20_000)
  }
  for (const heard of all) t.strictSame(heard, expected)
  t.ok(source.reads < 100, `${source.reads} reads`)
  t.equal(source.most['after'], 1)
})

t.test('whoever comes back to what is kept asks nobody', async (t) => {
  const { source, feed, listen } = start(t)
  const first = listen(await feed.newest())
  const id = source.add()
  const next = source.add()
  await eventually(() => first.length === 2, 'both')
  const position = await feed.positionOf(id)
  t.equal(source.most['positionOf'], undefined)
  const again = listen(position!)
  await eventually(() => again.length === 1, 'the second')
  t.strictSame(again, [next])
  t.equal(await feed.positionOf('none'), undefined)
})

t.test('each hears all after its place once, in order, however slow, far behind or often cut off', async (t) => {
  const { source, feed, listen } = start(t, { count: 7, size: 60 })
  for (let i = 0; i < 250; i++) source.add()
  const wanted = 900
  const listeners: { heard: string[], from: number }[] = []
  for (let n = 0; n < 40; n++) {
    const from = n % 4 === 0 ? 250 : n * 6
    const heard: string[] = []
    listeners.push({ heard, from })
    let steps = 0
    const pace = async () => { if (++steps % (1 + n % 5) === 0) for (let i = 0; i < n % 7; i++) await turn() }
    const position = async () => {
      const last = heard.at(-1) ?? (from === 0 ? undefined : String(from))
      return last === undefined ? BEGINNING : (await feed.positionOf(last))!
    }
    if (n % 3 !== 0) {
      listen(await position(), heard, pace)
    } else {
      void (async () => {
        while (heard.length < wanted - from) {
          const cut = new AbortController()
          const before = heard.length
          listen(await position(), heard, async () => {
            if (heard.length - before > 30 + n) cut.abort()
            await pace()
          }, cut.signal)
          await eventually(() => cut.signal.aborted || heard.length >= wanted - from, 'it is cut off', 30_000)
          cut.abort()
        }
      })().catch((error: unknown) => { t.fail(String(error)) })
    }
  }
  for (let i = 250; i < wanted; i++) {
    source.add()
    if (i % 5 === 0) feed.wake()
    if (i % 3 === 0) await turn()
  }
  await eventually(() => listeners.every(({ heard, from }) => heard.length >= wanted - from), 'all hear all', 30_000)
  for (const { heard, from } of listeners) t.strictSame(heard, Array.from({ length: wanted - from }, (_, i) => String(from + i + 1)))
  t.ok(source.most['after']! <= 2, 'one reads for all, and one of those who are behind')
  t.equal(source.most['positionOf'], 1)
})

t.test('what has been removed is not waited for', async (t) => {
  const { source, feed, listen } = start(t, { count: 1 })
  for (let i = 0; i < 5; i++) source.add()
  listen(await feed.newest())
  source.events.splice(0)
  const late = listen({ xid: '1', position: '2' })
  for (let i = 0; i < 4; i++) {
    const id = source.add()
    feed.wake()
    await eventually(() => late.at(-1) === id, id)
  }
  t.strictSame(late, ['6', '7', '8', '9'])
})

t.test('where one begins is never older than the question', async (t) => {
  const { source, feed } = start(t)
  for (let i = 1; i <= 50; i++) {
    source.add()
    const asked = feed.newest()
    if (i % 2 === 0) await turn()
    source.add()
    const [, later] = await Promise.all([asked, feed.newest()])
    t.equal(later.position, String(i * 2))
  }
})
