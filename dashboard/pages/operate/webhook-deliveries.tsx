import { useEffect, useRef, useState } from 'preact/hooks'
import type { Webhook, WebhookDeliveriesReply, WebhookDelivery } from '../../../schemas/webhooks.js'
import { useApi, useAsk, useDo, useEvery } from '../../context.js'
import { ago, when } from '../../format.js'
import { Badge, type Tone } from '../../parts/badge.js'
import { Button } from '../../parts/button.js'
import { Empty } from '../../parts/empty.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { Table } from '../../parts/table.js'
import { Choice } from '../../parts/text-field.js'
import { Done } from './done.js'
import { MoreKeys } from './key-list-tools.js'
import { ALL_KEYS, FIRST_KEYS } from './list-of-keys.js'

/** Milliseconds between two looks at the list. */
const LOOK = 3000
const TONES: Record<WebhookDelivery['state'], Tone> = { pending: 'quiet', delivered: 'good', failed: 'bad' }

/** What was sent to a webhook, and what became of it. */
export function WebhookDeliveries ({ webhook: { id, url }, mayResend, onClose }: { webhook: Webhook, mayResend: boolean, onClose: () => void }) {
  const api = useApi()
  const path = `/webhooks/${encodeURIComponent(id)}/deliveries`
  const [state, setState] = useState('')
  const [limit, setLimit] = useState(FIRST_KEYS)
  const { data, error, isLoading, reload } = useAsk((api, signal) => api.get<WebhookDeliveriesReply>(path, { query: { limit, ...state !== '' && { state } }, signal }), [path, state, limit])
  useEvery(LOOK, () => { if (!isLoading) reload() })
  const [said, setSaid] = useState<string>()
  const { run, busy, error: failed } = useDo()
  const place = useRef<HTMLDivElement>(null)
  useEffect(() => { place.current?.focus() }, [])
  const resend = (delivery: WebhookDelivery): void => {
    setSaid(undefined)
    void run(delivery.id, async () => {
      await api.post(`${path}/${delivery.id}/resend`)
      setSaid(`${delivery.type} is sent again.`)
      reload()
    })
  }
  return (
    <div ref={place} tabIndex={-1} class='detail'>
      <Panel title='Deliveries' busy={data === undefined && error === undefined} actions={<Button kind='quiet' label='Close the deliveries' onClick={onClose}>Close</Button>}>
        <p class='quiet'>To <code>{url}</code>, the newest first. What is through is listed for 30 days.</p>
        {(error ?? failed) !== undefined && <Notice kind='error' error={error ?? failed} />}
        <Done said={said} />
        <div class='toolbar' role='search'>
          <Choice label='Deliveries that are' value={state} onInput={setState} choices={[['', 'All'], ['pending', 'Pending'], ['delivered', 'Delivered'], ['failed', 'Given up']]} />
        </div>
        {data !== undefined && (
          <Table
            caption='Deliveries, the newest first' rows={data.deliveries} rowKey={({ id }) => id}
            empty={state === ''
              ? <Empty title='Nothing was sent yet'><p>It begins with the next event of its types: publish one under Live events to try it.</p></Empty>
              : <Empty title='No delivery is like that'><p>Choose another state.</p></Empty>}
            columns={[
              { key: 'state', title: 'State', render: ({ state }) => <Badge tone={TONES[state]}>{state === 'failed' ? 'given up' : state}</Badge> },
              { key: 'type', title: 'Event', render: ({ type, event_id: event }) => <><code>{type}</code><div class='quiet'><code>{event}</code></div></> },
              { key: 'attempts', title: 'Attempts', align: 'end', render: ({ attempts }) => attempts },
              { key: 'status', title: 'Last answer', render: (delivery) => <Answer of={delivery} /> },
              { key: 'tried_at', title: 'Sent', render: ({ tried_at: at }) => at === null ? 'not yet' : <span title={when(at)}>{ago(at)}</span> },
              { key: 'next_attempt_at', title: 'Next', render: ({ next_attempt_at: at }) => at === null ? '–' : <span title={when(at)}>{ago(at)}</span> },
              ...mayResend
                ? [{ key: 'resend', title: 'Send again', render: (delivery: WebhookDelivery) => <Button label={`Send again: ${delivery.type}`} busy={busy === delivery.id} onClick={() => { resend(delivery) }}>Send again</Button> }]
                : []
            ]}
          />
        )}
        <MoreKeys hasMore={data?.next_cursor !== undefined} limit={limit} onMore={() => { setLimit(ALL_KEYS) }} />
      </Panel>
    </div>
  )
}

function Answer ({ of: { status, error } }: { of: WebhookDelivery }) {
  return <>{status ?? (error === null ? '–' : 'none')}{error !== null && <div class='quiet'>{error}</div>}</>
}
