import type { CacheKey, CacheKeysReply } from '../../../schemas/cache-administration.js'
import type { Asked } from '../../context.js'
import { ago, bytes, when } from '../../format.js'
import { Button } from '../../parts/button.js'
import { Empty } from '../../parts/empty.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { Table, type Column } from '../../parts/table.js'
import { said, type Place } from './place.js'
import { TimeLeft } from './time-left.js'

/** A page of keys. */
export interface KeysPage {
  reply: CacheKeysReply
  /** When it was read, in milliseconds since 1970. */
  at: number
  /** What was asked for: while another page is on its way, that is not what the address says. */
  place: Place
  pattern: string
  /** How many keys the pages before this one had. */
  before: number
}

export interface KeysPanelProps {
  asked: Asked<KeysPage>
  /** Whether the address is that of another page than the first. */
  isPaged: boolean
  current: string | undefined
  mayWrite: boolean
  onOpen: (key: CacheKey) => void
  onNew: () => void
  onFirst: () => void
  /** @param before how many keys there were up to then */
  onNext: (cursor: string, before: number) => void
}

const whole = new Intl.NumberFormat()

/** The keys that match, a page at a time. */
export function KeysPanel ({ asked: { data, error, isLoading, reload }, isPaged, current, mayWrite, onOpen, onNew, onFirst, onNext }: KeysPanelProps) {
  const actions = (
    <>
      {mayWrite && <Button kind='primary' onClick={onNew}>New entry</Button>}
      <Button busy={isLoading} onClick={reload}>Refresh</Button>
    </>
  )
  return (
    <Panel title='Keys' wide busy={isLoading} actions={actions}>
      <p class='quiet explore-count' role='status'>{data === undefined ? 'Looking…' : summary(data)}</p>
      {error !== undefined && (
        <Notice kind='error' error={error}>{isPaged && <Button onClick={onFirst}>Begin at the first page</Button>}</Notice>
      )}
      {data !== undefined && (
        <div class='explore-keys'>
          <Table
            caption={`Keys in ${said(data.place)}`} columns={columnsOf(data.at, onOpen)} rows={data.reply.keys} rowKey={({ key }) => key}
            isCurrent={({ key }) => key === current} empty={<None pattern={data.pattern} isPaged={data.before > 0} mayWrite={mayWrite} onFirst={onFirst} />}
          />
        </div>
      )}
      {data !== undefined && (data.before > 0 || data.reply.next_cursor !== undefined) && (
        <nav class='actions explore-pages' aria-label='Pages of keys'>
          <Button disabled={data.before === 0} busy={isLoading} onClick={onFirst}>First page</Button>
          <Button disabled={data.reply.next_cursor === undefined} busy={isLoading} onClick={() => { onNext(data.reply.next_cursor!, data.before + data.reply.keys.length) }}>Next page</Button>
        </nav>
      )}
    </Panel>
  )
}

function summary ({ reply: { keys, total_keys: total }, before, pattern, place }: KeysPage): string {
  const found = `${whole.format(total)} ${total === 1 ? 'key' : 'keys'}${pattern === '' ? '' : ` that ${total === 1 ? 'matches' : 'match'} ${pattern}`} in ${said(place)}.`
  return keys.length === 0 || (before === 0 && keys.length >= total) ? found : `${found} Here: ${whole.format(before + 1)} to ${whole.format(before + keys.length)}.`
}

const columnsOf = (at: number, onOpen: (key: CacheKey) => void): Column<CacheKey>[] => [
  { key: 'key', title: 'Key', render: (row) => <button type='button' class='explore-key' onClick={() => { onOpen(row) }}><bdi>{row.key}</bdi></button> },
  { key: 'data_type', title: 'Type' },
  { key: 'size', title: 'Size', align: 'end', render: ({ size }) => bytes(size) },
  { key: 'ttl', title: 'TTL left', align: 'end', render: ({ ttl }) => <TimeLeft ttl={ttl} at={at} /> },
  { key: 'access_count', title: 'Accesses', align: 'end', render: ({ access_count: count }) => whole.format(count) },
  { key: 'last_accessed', title: 'Last access', render: ({ last_accessed: time }) => <time dateTime={time} title={when(time)}>{ago(time, at)}</time> }
]

function None ({ pattern, isPaged, mayWrite, onFirst }: { pattern: string, isPaged: boolean, mayWrite: boolean, onFirst: () => void }) {
  if (isPaged) return <Empty title='There is nothing on this page any more.'><p><Button onClick={onFirst}>Begin at the first page</Button></p></Empty>
  if (pattern !== '') {
    return (
      <Empty title={`No key matches ${pattern}.`}>
        <p>A pattern is held against the whole key: <code>user:*</code> finds what begins with <code>user:</code>, <code>*42*</code> what has 42 anywhere. Look in another namespace or backend, too.</p>
      </Empty>
    )
  }
  return (
    <Empty title='Nothing is cached here.'>
      <p>{mayWrite ? 'Store something with New entry or an import, or by POST /api/cache/set.' : 'Choose another namespace or backend above.'}</p>
    </Empty>
  )
}
