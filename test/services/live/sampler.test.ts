import t from 'tap'
import type { LiveSample } from '../../../schemas/live.js'
import { Sampler, type SamplerOptions, type Taken } from '../../../services/live/sampler.js'
import { eventually } from '../../support/caches.js'

const open = async (options: Partial<SamplerOptions> = {}) => {
  let counts = 0
  const watched: boolean[] = []
  const sampler = new Sampler({
    count: async () => { counts++; return '' },
    sample: (before, now) => ({ seconds: (now.at - before.at) / 1000 }) as LiveSample,
    onWatched: (isWatched) => { watched.push(isWatched) },
    period: 5,
    idlePeriod: 60_000,
    ...options
  })
  await sampler.start()
  return { sampler, watched, counts: () => counts }
}

/** Listens until it is told to stop. */
const listen = (sampler: Sampler, after?: number) => {
  const gone = new AbortController()
  const heard: Taken[] = []
  const ended = (async () => { for await (const taken of sampler.listen(gone.signal, after)) heard.push(taken) })()
  return { heard, ended, stop: async () => { gone.abort(); await ended } }
}

t.test('samples are taken while somebody listens, and soon after the first comes', async (t) => {
  const { sampler, watched, counts } = await open()
  t.equal(counts(), 1, 'there is something to count from')
  t.equal(sampler.samples.length, 0)
  const [first, second] = [listen(sampler), listen(sampler)]
  await eventually(() => first.heard.length >= 5 && second.heard.length >= 5, 'samples')
  t.strictSame(first.heard.slice(0, 5), second.heard.slice(0, 5), 'all are given the same')
  t.strictSame(first.heard.map(({ time }) => time), first.heard.map(({ time }) => time).toSorted((a, b) => a - b))
  t.strictSame(watched, [true])
  await first.stop()
  t.strictSame(watched, [true])
  await second.stop()
  t.strictSame(watched, [true, false])

  const later = listen(sampler, first.heard[1]!.time)
  await eventually(() => later.heard.length >= 2, 'what is remembered')
  t.strictSame(later.heard[0], first.heard[2], 'it goes on after a sample')
  sampler.close()
  await later.ended
  await listen(sampler).ended
  t.pass('its end is that of its listeners, and of those that come later')
})

t.test('the first listener does not wait for the end of an idle interval', async (t) => {
  const { sampler } = await open({ period: 100 })
  const { heard, stop } = listen(sampler)
  await eventually(() => heard.length === 1, 'the first', 5000)
  await stop()
  t.ok(heard[0]!.sample.seconds < 60)
  sampler.close()
})

t.test('three hundred are remembered, and no more', async (t) => {
  const { sampler } = await open({ period: 0 })
  const { heard, stop } = listen(sampler)
  await eventually(() => heard.length > 310, 'more than are remembered', 20_000)
  t.equal(sampler.samples.length, 300)
  await stop()
  sampler.close()
})

t.test('without an answer a sample is missing, and the next one is of the whole interval', async (t) => {
  const faults: unknown[] = []
  let count = 0
  const { sampler } = await open({
    count: async () => {
      if (++count === 2) throw new Error('away')
      return ''
    },
    onFault: (error) => { faults.push(error) }
  })
  const { heard, stop } = listen(sampler)
  await eventually(() => heard.length >= 2, 'samples')
  t.match(faults, [{ message: 'away' }])
  await stop()
  sampler.close()
})
