import { useState } from 'preact/hooks'
import type { CacheAnalytics, CacheAnalyticsReply } from '../../../schemas/cache-analytics.js'
import { useAsk, useEvery } from '../../context.js'
import { ago, bytes, duration, number, percent } from '../../format.js'
import { Bars } from '../../parts/bars.js'
import { Chart } from '../../parts/chart.js'
import { Empty } from '../../parts/empty.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'

/** Milliseconds between two questions: the sample of entries behind them is kept for as long. */
const EVERY = 5000
const KEYS = 10

/** What a backend is used for, as one process sees it. @param backend undefined: the default one */
export function Usage ({ backend, isPaused }: { backend: string | undefined, isPaused: boolean }) {
  const { data, error, reload } = useAsk(async (api, signal) => ({
    of: backend, ...await api.get<CacheAnalyticsReply>('/api/cache/analytics', { query: { backend, limit: KEYS }, signal })
  }), [backend])
  useEvery(isPaused ? undefined : EVERY, reload)
  const analytics = data !== undefined && data.of === backend ? data.analytics : undefined
  return (
    <section aria-labelledby='usage'>
      <h2 id='usage' class='part'>What {backend ?? analytics?.backend ?? 'the cache'} is used for</h2>
      {error !== undefined && <Notice kind='error' error={error} />}
      {analytics === undefined
        ? error === undefined && <p class='quiet'>It is being asked.</p>
        : (
          <div class='usage'>
            <HotKeys of={analytics.hot_keys} />
            <WhatIf of={analytics} />
            <Memory of={analytics.memory_distribution} />
            <Ttls of={analytics.ttl_distribution} />
          </div>
          )}
    </section>
  )
}

function HotKeys ({ of: { keys, accesses, window_seconds: window } }: { of: CacheAnalytics['hot_keys'] }) {
  const namespaces = new Set(keys.map(({ namespace }) => namespace))
  const rows = keys.map(({ namespace, key, accesses: reads, share }) => ({
    label: namespaces.size > 1 ? `${namespace}/${key}` : key, value: reads, text: `${number(reads)} (${percent(share)})`
  }))
  return (
    <Panel title='Hot keys' level={3}>
      {rows.length === 0
        ? <Empty title='No key was read lately.'><p>Read one, and it stands here within a few seconds.</p></Empty>
        : <><Bars title='The keys that are read most, by their reads' rows={rows} /><p class='quiet'>Of {number(accesses)} reads in {duration(window)}.</p></>}
    </Panel>
  )
}

function Memory ({ of }: { of: CacheAnalytics['memory_distribution'] }) {
  const text = ({ bytes: part, items, share }: { bytes: number, items: number, share: number }): string => `${bytes(part)} (${percent(share)}), ${number(items)} ${items === 1 ? 'entry' : 'entries'}`
  const types = of.by_data_type.map((each) => ({ label: each.data_type, value: each.bytes, text: text(each) }))
  const prefixes = of.by_prefix.map((each) => ({ label: each.prefix === null ? 'no prefix' : `${each.prefix}:`, value: each.bytes, text: text(each) }))
  if (of.other_prefixes.prefixes > 0) prefixes.push({ label: `${number(of.other_prefixes.prefixes)} others`, value: of.other_prefixes.bytes, text: text(of.other_prefixes) })
  const told = `${of.sampled ? `Estimated from ${number(of.sample_size)} entries` : 'Of all entries'}, ${ago(of.measured_at)}.`
  const empty = 'Nothing is stored.'
  return (
    <>
      <Panel title='Memory by type' level={3}><Bars title='Memory by data type' rows={types} empty={empty} />{types.length > 0 && <p class='quiet'>{told}</p>}</Panel>
      <Panel title='Memory by prefix' level={3}><Bars title='Memory by what stands before the first colon of the key' rows={prefixes} empty={empty} />{prefixes.length > 0 && <p class='quiet'>{told}</p>}</Panel>
    </>
  )
}

const KINDS = [['remaining', 'What is left of it'], ['as_set', 'As it was set']] as const

function rangeOf ({ from, to }: { from: number, to: number | null }): string {
  return to === null ? `${duration(from)} or more` : from === 0 ? `under ${duration(to)}` : `${duration(from)} – ${duration(to)}`
}

function Ttls ({ of: { buckets, never_expires: never } }: { of: CacheAnalytics['ttl_distribution'] }) {
  const [kind, setKind] = useState<typeof KINDS[number][0]>('remaining')
  const entries = (count: number): string => `${number(count)} ${count === 1 ? 'entry' : 'entries'}`
  const rows = [
    ...buckets.map((bucket) => ({ label: rangeOf(bucket), value: bucket[kind], text: entries(bucket[kind]) })),
    { label: 'never expires', value: never, text: entries(never) }
  ]
  const choice = (
    <select aria-label='Which TTL' value={kind} onChange={(event) => { setKind(event.currentTarget.value as typeof kind) }}>
      {KINDS.map(([value, words]) => <option key={value} value={value}>{words}</option>)}
    </select>
  )
  return (
    <Panel title='TTL' level={3} actions={choice}>
      {rows.every(({ value }) => value === 0) ? <Empty title='Nothing is stored.' /> : <Bars title='Entries by TTL' rows={rows} />}
    </Panel>
  )
}

function WhatIf ({ of: { what_if: whatIf, unavailable } }: { of: CacheAnalytics }) {
  if (whatIf === null) return <Panel title='What if it were larger' level={3}><Empty title='Nothing is known of other sizes.'><p>{unavailable['what_if']}</p></Empty></Panel>
  const { points, accesses, strategy, actual_hit_rate: actual } = whatIf
  const place = (factor: number): string => `× ${number(factor)}`
  const rates = points.map(({ hit_rate: rate }) => rate)
  return (
    <Panel title='What if it were larger' level={3}>
      <Chart
        title='Hit ratio by size' times={points.map(({ size_factor: factor }) => factor)} place={place} axis='Size' format={percent} top={100}
        series={[{ label: 'Hit ratio', values: rates }, { label: 'As it was', values: points.map(() => actual), isBound: true }]}
      />
      <ul class='plain quiet'>
        {points.map(({ size_factor: factor, max_items: items, max_memory: memory, hit_rate: rate }) => (
          <li key={factor}>{place(factor)}: {percent(rate)} with {[items === null ? undefined : `${number(items)} entries`, memory === null ? undefined : bytes(memory)].filter(Boolean).join(' or ')}</li>
        ))}
      </ul>
      <p class='quiet'>Estimated for {strategy} from {number(accesses)} reads.</p>
    </Panel>
  )
}
