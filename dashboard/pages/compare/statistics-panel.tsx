import { useState } from 'preact/hooks'
import type { CacheAsideStatistics, CacheClearedReply } from '../../../schemas/cache-aside.js'
import { useApi, useAsk, useDo, useEvery } from '../../context.js'
import { bytes, number, percent } from '../../format.js'
import { Button } from '../../parts/button.js'
import { Confirm } from '../../parts/confirm.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { Stat } from '../../parts/stat.js'

/** Milliseconds: others use the cache as well. */
const EVERY = 3000

/** What the cache-aside counts, and a way to empty it. @param acts so many things were done on this page */
export function StatisticsPanel ({ acts, mayClear }: { acts: number, mayClear: boolean }) {
  const api = useApi()
  const { data, error, reload } = useAsk(async (api, signal) => await api.get<CacheAsideStatistics>('/cache/stats', { signal }), [acts])
  const { run, busy, error: refusal, clear } = useDo()
  const [isAsking, setAsking] = useState(false)
  const [outcome, setOutcome] = useState<{ acts: number, text: string }>()
  useEvery(EVERY, reload)

  const empty = async (): Promise<void> => {
    const reply = await run('clear', async () => await api.post<CacheClearedReply>('/cache/clear'))
    if (reply === undefined) return
    setAsking(false)
    const gone = reply.cleared === 1 ? 'one entry' : `${number(reply.cleared)} entries`
    setOutcome({ acts, text: `Cleared: the cache dropped ${gone}. What is asked for next comes from the database.` })
    reload()
  }
  const ask = (): void => {
    clear()
    setAsking(true)
  }
  return (
    <Panel title='Cache statistics' actions={mayClear && <Button kind='danger' onClick={ask}>Clear the cache</Button>}>
      {error !== undefined && <Notice kind='error' error={error} />}
      {data !== undefined && <Figures {...data} />}
      <p role='status' class='outcome'>{outcome?.acts === acts ? outcome.text : ''}</p>
      <p class='quiet'>Of items, products and recipes together, since the service was started.</p>
      {isAsking && (
        <Confirm title='Clear the cache of the samples?' confirm='Clear the cache' danger busy={busy !== undefined} error={refusal} onConfirm={() => { void empty() }} onClose={() => { setAsking(false) }}>
          <p>Every cached item, product and recipe goes, for everybody. Nothing is lost: the database keeps them, and is asked again.</p>
        </Confirm>
      )}
    </Panel>
  )
}

function Figures ({ hits, misses, hit_rate: rate, total_requests: total, stale, coalesced, cached_keys: keys, memory_usage: memory }: CacheAsideStatistics) {
  return (
    <dl class='stats'>
      <Stat label='Hits' value={number(hits)} hint={stale > 0 ? `${number(stale)} of them stale` : undefined} />
      <Stat label='Misses' value={number(misses)} hint={coalesced > 0 ? `${number(coalesced)} more waited` : undefined} />
      <Stat label='Hit rate' value={total === 0 ? '–' : percent(rate)} />
      <Stat label='Requests' value={number(total)} />
      <Stat label='Entries' value={number(keys)} hint={bytes(memory)} />
    </dl>
  )
}
