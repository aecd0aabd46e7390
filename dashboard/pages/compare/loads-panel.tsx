import { duration, timeOfDay } from '../../format.js'
import { Badge } from '../../parts/badge.js'
import { Button } from '../../parts/button.js'
import { Empty } from '../../parts/empty.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { Stat } from '../../parts/stat.js'
import { Table, type Column } from '../../parts/table.js'
import { compared, difference } from './rounds.js'
import type { Load, Shelf } from './use-shelf.js'

const COLUMNS: readonly Column<Load>[] = [
  { key: 'at', title: 'At', render: ({ at }) => timeOfDay(at) },
  { key: 'why', title: 'Why' },
  { key: 'source', title: 'Source', render: ({ source }) => <SourceBadge source={source} /> },
  { key: 'made', title: 'In the service', align: 'end', render: ({ made }) => duration(made) },
  { key: 'trip', title: 'Round trip', align: 'end', render: ({ trip }) => duration(trip) },
  { key: 'cacheStatus', title: 'Cache-Status', render: ({ cacheStatus }) => <code>{cacheStatus}</code> }
]

/** Asks for the products, and shows where each answer came from and how long it took. */
export function LoadsPanel ({ shelf: { loads, isLoading, error, load } }: { shelf: Shelf }) {
  const [last] = loads
  const isPossible = error === undefined || last !== undefined
  return (
    <Panel title='Load products' busy={isLoading}>
      <p class='actions'>
        <Button kind='primary' busy={isLoading} onClick={() => { void load('Load Products') }}>Load Products</Button>
        <Button busy={isLoading} onClick={() => { void load('Past the cache', { isPast: true }) }}>Load past the cache</Button>
      </p>
      {error !== undefined && <Notice kind='error' error={error} />}
      <p role='status' class='outcome'>{saidOf(loads)}</p>
      {last === undefined
        ? isPossible && <Empty title='Nothing is loaded yet.'><p>Press Load Products twice: the first answer comes from the database, the next one from the cache.</p></Empty>
        : (
          <>
            <dl class='stats'>
              <Stat label='Source' value={last.source} tone={last.source === 'cache' ? 'good' : 'quiet'} hint={last.why} />
              <Stat label='Response time' value={duration(last.made)} hint='in the service' />
              <Stat label='Round trip' value={duration(last.trip)} hint='as this browser sees it' />
            </dl>
            <h3>The last loads</h3>
            <div class='loads'>
              <Table caption='The last loads, newest first' columns={COLUMNS} rows={loads} rowKey={({ number }) => String(number)} isCurrent={(row) => row === last} />
            </div>
          </>
          )}
    </Panel>
  )
}

function SourceBadge ({ source }: Pick<Load, 'source'>) {
  return <Badge tone={source === 'cache' ? 'good' : 'quiet'}>{source}</Badge>
}

/** What the last load shows, beside the newest one from the other source. */
function saidOf (loads: readonly Load[]): string {
  const [last] = loads
  if (last === undefined) return ''
  const other = loads.find(({ source }) => source !== last.source)
  const from = `Load ${last.number} came from the ${last.source}, in ${duration(last.made)}.`
  if (other === undefined) return last.source === 'database' ? `${from} Load again to see the cache answer.` : `${from} Load past the cache to see what the database takes.`
  const [database, cache] = last.source === 'cache' ? [other.made, last.made] : [last.made, other.made]
  return `${from} The newest from the ${other.source} took ${duration(other.made)}. With the cache: ${difference(compared([{ database, cache }]))}.`
}
