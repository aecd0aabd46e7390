import { useState } from 'preact/hooks'
import type { IssuedWebhook, Webhook, WebhookListReply } from '../../../schemas/webhooks.js'
import { useApi, useAsk, useDo, useEvery, useMay } from '../../context.js'
import { ago, when } from '../../format.js'
import { Badge, type Tone } from '../../parts/badge.js'
import { Button } from '../../parts/button.js'
import { Confirm } from '../../parts/confirm.js'
import { Empty } from '../../parts/empty.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { Table } from '../../parts/table.js'
import { setQuery, useRoute } from '../../route.js'
import { Done } from './done.js'
import { ShownOnce } from './shown-once.js'
import { WebhookDeliveries } from './webhook-deliveries.js'
import { NewWebhookForm, WebhookEditor } from './webhook-form.js'

/** Milliseconds between two looks at the list. */
const LOOK = 3000
const TONES: Record<Webhook['state'], Tone> = { active: 'good', paused: 'quiet', disabled: 'bad' }

/** Where events are sent over HTTP: created, changed, paused, removed, and what became of each event. */
export function Webhooks () {
  const may = useMay()
  const [issued, setIssued] = useState<IssuedWebhook>()
  const [round, setRound] = useState(0)
  const onIssue = (webhook: IssuedWebhook): void => {
    setIssued(webhook)
    setRound((last) => last + 1)
  }
  return (
    <>
      {issued !== undefined && (
        <ShownOnce
          key={issued.secret} title='The secret of the webhook' bearer={{ secret: issued.secret }} note={`The receiver at ${issued.url} verifies signatures with it.`}
          onDone={() => { setIssued(undefined) }}
        />
      )}
      {may('events:write') && <NewWebhookForm onCreate={onIssue} />}
      {may('events:read') && <WebhookList round={round} onRotate={onIssue} />}
    </>
  )
}

/** What is to be done with a webhook, once that is confirmed. */
interface Asked { deed: 'rotate' | 'remove', webhook: Webhook }

function WebhookList ({ round, onRotate }: { round: number, onRotate: (issued: IssuedWebhook) => void }) {
  const api = useApi()
  const may = useMay()
  const mayChange = may('events:write')
  const { query } = useRoute()
  const { data, error, isLoading, reload } = useAsk((api, signal) => api.get<WebhookListReply>('/webhooks', { signal }), [round])
  useEvery(LOOK, () => { if (!isLoading) reload() })
  const [edited, setEdited] = useState<Webhook>()
  const [asked, setAsked] = useState<Asked>()
  const [said, setSaid] = useState<string>()
  const { run, busy, error: failed, clear } = useDo()
  const chosen = data?.webhooks.find(({ id }) => id === query['webhook'])

  const act = (what: string, deed: () => Promise<string | undefined>): void => {
    setSaid(undefined)
    void run(what, async () => {
      setSaid(await deed())
      setAsked(undefined)
      reload()
    })
  }
  const ask = (asked: Asked): void => {
    clear()
    setAsked(asked)
  }
  const pause = ({ id, url, state }: Webhook): void => {
    act(`pause ${id}`, async () => {
      const { state: now } = await api.put<Webhook>(pathOf(id), { body: { state: state === 'active' ? 'paused' : 'active' } })
      return now === 'active' ? `Events are sent to ${url} again.` : `Events for ${url} wait until it is resumed.`
    })
  }
  const confirmed = ({ deed, webhook: { id, url } }: Asked): void => {
    act(deed, async () => {
      if (deed === 'rotate') {
        const issued = await api.post<IssuedWebhook>(`${pathOf(id)}/rotate`)
        // First, as a dialog that closes gives the focus back.
        setAsked(undefined)
        onRotate(issued)
        return undefined
      }
      await api.delete(pathOf(id))
      return `The webhook to ${url} is removed.`
    })
  }
  const actions = (webhook: Webhook) => {
    const { id, url, state } = webhook
    return (
      <p class='actions'>
        <Button kind='quiet' label={`Deliveries to ${url}`} onClick={() => { setQuery({ webhook: id }) }}>Deliveries</Button>
        {mayChange && <Button kind='quiet' label={`Change the webhook to ${url}`} onClick={() => { setEdited(webhook) }}>Change</Button>}
        {mayChange && (
          <Button kind='quiet' label={`${state === 'active' ? 'Pause' : 'Resume'} the webhook to ${url}`} busy={busy === `pause ${id}`} onClick={() => { pause(webhook) }}>
            {state === 'active' ? 'Pause' : 'Resume'}
          </Button>
        )}
        {mayChange && <Button kind='quiet' label={`Rotate the secret of ${url}`} onClick={() => { ask({ deed: 'rotate', webhook }) }}>Rotate</Button>}
        {may('events:delete') && <Button kind='danger' label={`Remove the webhook to ${url}`} onClick={() => { ask({ deed: 'remove', webhook }) }}>Remove</Button>}
      </p>
    )
  }
  return (
    <>
      <Panel title='Webhooks' busy={data === undefined && error === undefined}>
        {(error ?? (asked === undefined ? failed : undefined)) !== undefined && <Notice kind='error' error={error ?? failed} />}
        <Done said={said} />
        {data !== undefined && (
          <Table
            caption='Webhooks, the oldest first' rows={data.webhooks} rowKey={({ id }) => id} isCurrent={({ id }) => id === chosen?.id}
            empty={<Empty title='There are no webhooks'><p>{mayChange ? 'Create one above, or with POST /webhooks, once WEBHOOK_HOSTS names whom Larder may call.' : 'Whoever holds events:write creates them.'}</p></Empty>}
            columns={[
              { key: 'state', title: 'State', render: ({ state, reason }) => <><Badge tone={TONES[state]}>{state}</Badge>{reason !== undefined && <div class='quiet'>{reason}</div>}</> },
              { key: 'url', title: 'Where to', render: ({ url, description }) => <>{description !== '' && <div>{description}</div>}<code>{url}</code></> },
              { key: 'types', title: 'Types', render: ({ types }) => types === null ? 'all' : <code>{types.split(',').join(', ')}</code> },
              { key: 'created_at', title: 'Created', render: ({ created_at: at, created_by: by }) => <><span title={when(at)}>{ago(at)}</span><div class='quiet'>{by}</div></> },
              { key: 'actions', title: 'Actions', render: actions }
            ]}
          />
        )}
        {edited !== undefined && (
          <WebhookEditor
            webhook={edited} onClose={() => { setEdited(undefined) }}
            onChange={({ url }) => {
              setEdited(undefined)
              setSaid(`The webhook to ${url} is changed.`)
              reload()
            }}
          />
        )}
        {asked !== undefined && (
          <Confirm
            title={asked.deed === 'rotate' ? 'Give it a new secret?' : 'Remove this webhook?'} confirm={asked.deed === 'rotate' ? 'Rotate' : 'Remove'} danger={asked.deed === 'remove'}
            busy={busy !== undefined} error={failed} onConfirm={() => { confirmed(asked) }}
            onClose={() => {
              setAsked(undefined)
              clear()
            }}
          >
            <p>
              {asked.deed === 'rotate' ? 'The secret that it has signs as well for a day, so that the receiver can change over: ' : 'What was still to be sent is not, and the list of what was sent goes with it: '}
              <code>{asked.webhook.url}</code>
            </p>
          </Confirm>
        )}
      </Panel>
      {chosen !== undefined && <WebhookDeliveries key={chosen.id} webhook={chosen} mayResend={mayChange} onClose={() => { setQuery({ webhook: undefined }) }} />}
    </>
  )
}

const pathOf = (id: string): string => `/webhooks/${encodeURIComponent(id)}`
