import { useState } from 'preact/hooks'
import type { Event as LarderEvent } from '../../../schemas/events.js'
import { useMay, useStream } from '../../context.js'
import { timeOfDay, when } from '../../format.js'
import { Button } from '../../parts/button.js'
import { Empty } from '../../parts/empty.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { Table } from '../../parts/table.js'
import { TextField } from '../../parts/text-field.js'
import { Value } from '../../parts/value.js'
import { setQuery, useRoute } from '../../route.js'
import { PublishForm } from './publish-form.js'
import { heard, NOTHING_HEARD, paused, resumed, type Listened } from './recent.js'
import { StreamBadge } from './stream-badge.js'

/** Events that are kept. */
const KEPT = 200

/** What happens, as it happens. */
export function LiveEvents () {
  const may = useMay()
  const { query } = useRoute()
  const types = query['types'] ?? ''
  return (
    <>
      {may('events:read') && <Listener key={types} types={types} />}
      {may('events:write') && <PublishForm />}
    </>
  )
}

function Listener ({ types }: { types: string }) {
  const may = useMay()
  const [state, setState] = useState<Listened<LarderEvent>>(NOTHING_HEARD)
  const [hasGap, setGap] = useState(false)
  const [draft, setDraft] = useState(types)
  const stream = useStream('/events', ({ event, data }) => {
    if (event === 'gap') setGap(true)
    else setState((last) => heard(last, data as LarderEvent, KEPT))
  }, { types })
  const { shown, waiting, isPaused, missed } = state
  const submit = (event: Event): void => {
    event.preventDefault()
    setQuery({ types: draft.trim() })
  }
  return (
    <Panel
      title='Events' actions={(
        <>
          <StreamBadge {...stream} />
          <Button onClick={() => { setState((last) => last.isPaused ? resumed(last, KEPT) : paused(last)) }}>{isPaused ? `Resume (${waiting.length + missed} new)` : 'Pause'}</Button>
          <Button kind='quiet' disabled={shown.length === 0} onClick={() => { setState((last) => ({ ...last, shown: [] })) }}>Clear</Button>
        </>
      )}
    >
      <form class='toolbar' role='search' onSubmit={submit}>
        <TextField label='Types' hint='With commas; * stands for anything, as in product.*, kitchen.opened. Empty: all.' value={draft} onInput={setDraft} />
        <Button type='submit'>Listen to these</Button>
      </form>
      {stream.state === 'refused' && <Notice kind='error' error={stream.error} />}
      {hasGap && <Notice kind='warning'><p>Some events are missing: the connection was cut for longer than the service remembers.</p></Notice>}
      <Table
        caption={`Events since this page was opened, the newest first, ${KEPT} at most`} rows={shown} rowKey={({ id }) => id}
        empty={(
          <Empty title='Nothing has happened yet'>
            <p>Changes of items, products, recipes, users and posts appear here as they are made{may('events:write') ? ', and what is published below' : ''}.</p>
          </Empty>
        )}
        columns={[
          { key: 'time', title: 'When', render: ({ time }) => <span title={when(time)}>{timeOfDay(time)}</span> },
          { key: 'type', title: 'Type', render: (event) => <><code>{event.type}</code><details><summary>Details</summary><Value value={event} label={`The event ${event.id}`} /></details></> },
          { key: 'subject', title: 'About', render: ({ subject }) => <code>{subject}</code> }
        ]}
      />
    </Panel>
  )
}
