import { useState } from 'preact/hooks'
import type { ApiKey, ApiKeyListReply, IssuedApiKey } from '../../../schemas/keys.js'
import { useApi, useAsk, useCaller, useDo, useEvery, useMay } from '../../context.js'
import { ago, when } from '../../format.js'
import { Badge, type Tone } from '../../parts/badge.js'
import { Button } from '../../parts/button.js'
import { Confirm } from '../../parts/confirm.js'
import { Empty } from '../../parts/empty.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { Table } from '../../parts/table.js'
import { useRoute } from '../../route.js'
import { ApiKeyForm } from './api-key-form.js'
import { ApiKeyRotation } from './api-key-rotation.js'
import { Done } from './done.js'
import { KeyFilters, MoreKeys } from './key-list-tools.js'
import { ALL_KEYS, filterKeys, FIRST_KEYS } from './list-of-keys.js'
import { mayMakeApiKeys } from './offered.js'
import { scopeText } from './scope-list.js'
import { ShownOnce } from './shown-once.js'

/** Milliseconds between two looks at the list. */
const LOOK = 3000
const TONES: Record<ApiKey['status'], Tone> = { live: 'good', expired: 'quiet', revoked: 'bad' }

/** API keys: created, shown, rotated, revoked. */
export function ApiKeys () {
  const may = useMay()
  const mayMake = mayMakeApiKeys(useCaller())
  const [issued, setIssued] = useState<IssuedApiKey>()
  const [round, setRound] = useState(0)
  const onIssue = (key: IssuedApiKey): void => {
    setIssued(key)
    setRound((last) => last + 1)
  }
  return (
    <>
      {issued !== undefined && (
        <ShownOnce
          key={issued.id} title='The new API key' bearer={{ secret: issued.key, scopes: issued.scopes, namespaces: issued.namespaces }}
          note={issued.expires_at === null ? 'It does not expire.' : `It expires ${when(issued.expires_at)}.`} onDone={() => { setIssued(undefined) }}
        />
      )}
      {mayMake && <ApiKeyForm onCreate={onIssue} />}
      {may('keys:read') && <KeyList round={round} onRotate={onIssue} />}
    </>
  )
}

function KeyList ({ round, onRotate }: { round: number, onRotate: (issued: IssuedApiKey) => void }) {
  const api = useApi()
  const may = useMay()
  const mayMake = mayMakeApiKeys(useCaller())
  const { query } = useRoute()
  const filter = { state: query['state'] ?? '', text: query['text'] ?? '' }
  const [limit, setLimit] = useState(FIRST_KEYS)
  const { data, error, isLoading, reload } = useAsk((api, signal) => api.get<ApiKeyListReply>('/keys', { query: { order: 'newest', limit }, signal }), [limit, round])
  useEvery(LOOK, () => { if (!isLoading) reload() })
  const [rotated, setRotated] = useState<ApiKey>()
  const [revoked, setRevoked] = useState<ApiKey>()
  const [said, setSaid] = useState<string>()
  const { run, busy, error: failed, clear } = useDo()
  const keys = data?.keys ?? []
  const rows = filterKeys(keys, filter, { state: ({ status }) => status, texts: ({ id, name, scopes, namespaces, created_by: by }) => [id, name, ...scopes, ...namespaces ?? [], by] })

  const revoke = ({ id, name }: ApiKey): void => {
    void run('revoke', async () => {
      await api.delete(`/keys/${encodeURIComponent(id)}`)
      setSaid(`The API key ${name ?? id} is revoked.`)
      setRevoked(undefined)
      reload()
    })
  }
  const actions = (key: ApiKey) => key.status === 'live' && (
    <p class='actions'>
      {mayMake && key.successor === null && <Button kind='quiet' label={`Rotate the API key ${key.name ?? key.id}`} onClick={() => { setRotated(key) }}>Rotate</Button>}
      {may('keys:delete') && <Button kind='danger' label={`Revoke the API key ${key.name ?? key.id}`} onClick={() => { setRevoked(key) }}>Revoke</Button>}
    </p>
  )
  return (
    <Panel title='API keys' busy={data === undefined && error === undefined}>
      {error !== undefined && <Notice kind='error' error={error} />}
      <Done said={said} />
      <KeyFilters filter={filter} />
      {data !== undefined && (
        <Table
          caption='API keys that were created, the newest first' rows={rows} rowKey={({ id }) => id}
          empty={keys.length === 0
            ? <Empty title='There are no API keys'><p>{mayMake ? 'Create one above, or with POST /keys.' : 'Whoever holds keys:write creates them.'}</p></Empty>
            : <Empty title='No API key is like that'><p>Take a word out of the filter, or choose another state.</p></Empty>}
          columns={[
            { key: 'status', title: 'State', render: ({ status }) => <Badge tone={TONES[status]}>{status}</Badge> },
            { key: 'name', title: 'Key', render: ({ name, prefix }) => <>{name !== null && <div>{name}</div>}<code class='quiet'>{prefix}…</code></> },
            { key: 'scopes', title: 'What it permits', render: (key) => <Permitted of={key} /> },
            { key: 'created_at', title: 'Created', render: ({ created_at: at, created_by: by }) => <><span title={when(at)}>{ago(at)}</span><div class='quiet'>{by}</div></> },
            { key: 'last_used_at', title: 'Last used', render: ({ last_used_at: at }) => at === null ? 'never' : <span title={when(at)}>{ago(at)}</span> },
            { key: 'expires_at', title: 'Ends', render: (key) => <Life of={key} /> },
            ...mayMake || may('keys:delete') ? [{ key: 'actions', title: 'Rotate, revoke', render: actions }] : []
          ]}
        />
      )}
      <MoreKeys hasMore={data?.next_cursor !== undefined} limit={limit} onMore={() => { setLimit(ALL_KEYS) }} />
      {rotated !== undefined && (
        <ApiKeyRotation
          apiKey={rotated} onClose={() => { setRotated(undefined) }}
          onRotate={(issued) => {
            setRotated(undefined)
            onRotate(issued)
          }}
        />
      )}
      {revoked !== undefined && (
        <Confirm
          title='Revoke this API key?' confirm='Revoke' danger busy={busy !== undefined} error={failed} onConfirm={() => { revoke(revoked) }}
          onClose={() => {
            setRevoked(undefined)
            clear()
          }}
        >
          <p>{revoked.name ?? revoked.id} opens nothing any more, at once, nor do the valet keys that it has issued. It cannot be undone.</p>
        </Confirm>
      )}
    </Panel>
  )
}

function Permitted ({ of: { scopes, forbid, namespaces, rate_limit: rate } }: { of: ApiKey }) {
  const limits = [forbid.length > 0 && `not ${scopeText(forbid)}`, namespaces !== null && `in ${namespaces.join(', ')}`, rate !== null && rate].filter((limit) => limit !== false)
  return <><code>{scopeText(scopes)}</code>{limits.length > 0 && <div class='quiet'>{limits.join('; ')}</div>}</>
}

function Life ({ of: { status, expires_at: until, revoked_at: at, revoked_by: by, successor } }: { of: ApiKey }) {
  if (status === 'revoked' && at !== null) return <>revoked {ago(at)}{by === null ? '' : ` by ${by}`}</>
  return <>{until === null ? 'never' : <span title={when(until)}>{ago(until)}</span>}{successor !== null && <div class='quiet'>rotated to <code>{successor}</code></div>}</>
}
