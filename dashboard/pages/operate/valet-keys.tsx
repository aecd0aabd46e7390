import { useState } from 'preact/hooks'
import type { ValetKey, ValetKeyListReply, ValetKeyReply, ValetKeysRevokedReply } from '../../../schemas/valet.js'
import { useApi, useAsk, useDo, useEvery, useMay } from '../../context.js'
import { ago, bytes, when } from '../../format.js'
import { Badge, type Tone } from '../../parts/badge.js'
import { Button } from '../../parts/button.js'
import { Confirm } from '../../parts/confirm.js'
import { Empty } from '../../parts/empty.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { Table } from '../../parts/table.js'
import { TextField } from '../../parts/text-field.js'
import { useRoute } from '../../route.js'
import { Done } from './done.js'
import { KeyFilters, MoreKeys } from './key-list-tools.js'
import { ALL_KEYS, filterKeys, FIRST_KEYS } from './list-of-keys.js'
import { scopeText } from './scope-list.js'
import { ShownOnce } from './shown-once.js'
import { ValetForm } from './valet-form.js'

/** Milliseconds between two looks at the list. */
const LOOK = 3000
const TONES: Record<ValetKey['state'], Tone> = { live: 'good', expired: 'quiet', revoked: 'bad', exhausted: 'warn' }

/** Valet keys: issued, shown, revoked. */
export function ValetKeys () {
  const may = useMay()
  const [issued, setIssued] = useState<ValetKeyReply>()
  const [round, setRound] = useState(0)
  const onIssue = (key: ValetKeyReply): void => {
    setIssued(key)
    setRound((last) => last + 1)
  }
  return (
    <>
      {issued !== undefined && (
        <ShownOnce
          key={issued.id} title='The new valet key' bearer={{ secret: issued.token, scopes: issued.scopes, resources: issued.resources, namespaces: issued.namespaces }}
          note={`It ends ${when(issued.expires_at)}.`} onDone={() => { setIssued(undefined) }}
        />
      )}
      {may('valet:issue') && <ValetForm onIssue={onIssue} />}
      {may('valet:read') && <ValetList round={round} />}
    </>
  )
}

/** What is to be revoked: one, or all of an issuer. */
type Revocation = { key: ValetKey } | { issuer: string }

function ValetList ({ round }: { round: number }) {
  const api = useApi()
  const may = useMay()
  const { query } = useRoute()
  const filter = { state: query['state'] ?? '', text: query['text'] ?? '' }
  const [limit, setLimit] = useState(FIRST_KEYS)
  const { data, error, isLoading, reload } = useAsk((api, signal) => api.get<ValetKeyListReply>('/valet/tokens', { query: { order: 'newest', limit }, signal }), [limit, round])
  useEvery(LOOK, () => { if (!isLoading) reload() })
  const [revocation, setRevocation] = useState<Revocation>()
  const [said, setSaid] = useState<string>()
  const { run, busy, error: failed, clear } = useDo()
  const keys = data?.tokens ?? []
  const rows = filterKeys(keys, filter, { state: ({ state }) => state, texts: ({ id, issuer, scopes, description, policy }) => [id, issuer, ...scopes, description, policy] })

  const revoke = (what: Revocation): void => {
    void run('revoke', async () => {
      if ('key' in what) {
        await api.delete(`/valet/tokens/${encodeURIComponent(what.key.id)}`)
        setSaid(`The valet key ${what.key.id} is revoked, with what came from it.`)
      } else {
        const { revoked } = await api.delete<ValetKeysRevokedReply>('/valet/tokens', { query: { issuer: what.issuer } })
        setSaid(`${revoked} valet ${revoked === 1 ? 'key is' : 'keys are'} revoked that ${what.issuer} had issued.`)
      }
      setRevocation(undefined)
      reload()
    })
  }
  return (
    <Panel title='Valet keys' busy={data === undefined && error === undefined}>
      {error !== undefined && <Notice kind='error' error={error} />}
      <Done said={said} />
      <KeyFilters filter={filter} />
      {data !== undefined && (
        <Table
          caption='Valet keys that were issued, the newest first' rows={rows} rowKey={({ id }) => id}
          empty={keys.length === 0
            ? <Empty title='There are no valet keys'><p>{may('valet:issue') ? 'Issue one above, or with POST /valet/token.' : 'Those that are issued stand here until a day after they end.'}</p></Empty>
            : <Empty title='No valet key is like that'><p>Take a word out of the filter, or choose another state.</p></Empty>}
          columns={[
            { key: 'state', title: 'State', render: ({ state }) => <Badge tone={TONES[state]}>{state}</Badge> },
            { key: 'scopes', title: 'What it permits', render: (key) => <Permitted of={key} /> },
            { key: 'uses', title: 'Uses', align: 'end', render: ({ uses, max_uses: most }) => most === null && uses === 0 ? 'not counted' : `${uses}${most === null ? '' : ` of ${most}`}` },
            { key: 'expires_at', title: 'Ends', render: (key) => <Life of={key} /> },
            { key: 'issuer', title: 'Issuer', render: ({ issuer, id }) => <><code>{issuer}</code><div class='quiet'><code>{id}</code></div></> },
            ...may('valet:delete')
              ? [{
                  key: 'revoke',
                  title: 'Revoke',
                  render: (key: ValetKey) => key.state === 'live' && <Button kind='danger' label={`Revoke the valet key ${key.id}`} onClick={() => { setRevocation({ key }) }}>Revoke</Button>
                }]
              : []
          ]}
        />
      )}
      <MoreKeys hasMore={data?.next_cursor !== undefined} limit={limit} onMore={() => { setLimit(ALL_KEYS) }} />
      {may('valet:delete') && keys.some(({ state }) => state === 'live') && (
        <RevokeByIssuer issuers={[...new Set(keys.filter(({ state }) => state === 'live').map(({ issuer }) => issuer))]} onAsk={(issuer) => { setRevocation({ issuer }) }} />
      )}
      {revocation !== undefined && (
        <Confirm
          title={'key' in revocation ? 'Revoke this valet key?' : `Revoke all valet keys of ${revocation.issuer}?`} confirm='Revoke' danger busy={busy !== undefined} error={failed}
          onConfirm={() => { revoke(revocation) }}
          onClose={() => {
            setRevocation(undefined)
            clear()
          }}
        >
          {'key' in revocation
            ? <p><code>{revocation.key.id}</code>{revocation.key.description === null ? '' : ` (${revocation.key.description})`} and all that came from it open nothing any more, at once. It cannot be undone.</p>
            : <p>All that it has issued and that live, and all that came from them, open nothing any more, at once. It cannot be undone.</p>}
        </Confirm>
      )}
    </Panel>
  )
}

function RevokeByIssuer ({ issuers, onAsk }: { issuers: readonly string[], onAsk: (issuer: string) => void }) {
  const [issuer, setIssuer] = useState('')
  const submit = (event: Event): void => {
    event.preventDefault()
    onAsk(issuer.trim())
  }
  return (
    <form class='toolbar' onSubmit={submit}>
      <TextField label='All of one issuer' hint='administrator, local, or key: or valet: and an id.' value={issuer} onInput={setIssuer} suggestions={issuers} />
      <Button type='submit' kind='danger' disabled={issuer.trim() === ''}>Revoke them</Button>
    </form>
  )
}

function Permitted ({ of: { scopes, description, resources, namespaces, ip, max_bytes: most, policy } }: { of: ValetKey }) {
  const limits = [
    resources !== null && `for ${resources.join(', ')}`, namespaces !== null && `in ${namespaces.join(', ')}`, ip !== null && `from ${ip.join(', ')}`,
    most !== null && `up to ${bytes(most)}`, policy !== null && `policy ${policy}`
  ].filter((limit) => limit !== false)
  return (
    <>
      {description !== null && <div>{description}</div>}
      <code>{scopeText(scopes)}</code>
      {limits.length > 0 && <div class='quiet'>{limits.join('; ')}</div>}
    </>
  )
}

function Life ({ of: { state, not_before: from, expires_at: until, revoked_at: at, revoked_by: by } }: { of: ValetKey }) {
  if (state === 'revoked' && at !== null) return <>revoked {ago(at)}{by === null ? '' : ` by ${by}`}</>
  return <>{from !== null && Date.parse(from) > Date.now() && <div>not before {when(from)}</div>}<span title={when(until)}>{ago(until)}</span></>
}
