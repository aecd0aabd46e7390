import { useEffect, useState } from 'preact/hooks'
import type { AuditEntry, AuditReply } from '../../../schemas/audit.js'
import { useApi, useAsk, useDo, useEvery } from '../../context.js'
import { when } from '../../format.js'
import { Badge, type Tone } from '../../parts/badge.js'
import { Button } from '../../parts/button.js'
import { Empty } from '../../parts/empty.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { Table } from '../../parts/table.js'
import { Choice, TextField } from '../../parts/text-field.js'
import { setQuery, useRoute } from '../../route.js'
import { auditFilterOf, auditQuery, withNewest, type AuditFilter, type LogPages } from './audit-filter.js'

/** Milliseconds between two looks for what is new. */
const LOOK = 2000
const PAGE = 50
const TONES: Record<AuditEntry['outcome'], Tone> = { success: 'good', denied: 'bad', failure: 'warn' }

/** Who did what, and who was not let, the newest first. */
export function AuditLog () {
  const api = useApi()
  const { query } = useRoute()
  const filter = auditFilterOf(query)
  const asked = auditQuery(filter)
  const [isFollowing, setFollowing] = useState(true)
  const [log, setLog] = useState<LogPages<AuditEntry> & { of: string }>()
  const name = JSON.stringify(asked)
  const { data, error, isLoading, reload } = useAsk(async (api, signal) => ({ of: name, page: await api.get<AuditReply>('/audit', { query: { ...asked, limit: PAGE }, signal }) }), [name])
  useEvery(isFollowing ? LOOK : undefined, () => { if (!isLoading) reload() })
  useEffect(() => {
    if (data === undefined) return
    const { of, page } = data
    setLog((last) => ({ of, ...withNewest(last?.of === of ? last : { entries: [], older: undefined }, page.entries, page.next_cursor) }))
  }, [data])
  const { run, busy, error: failed } = useDo()
  const older = (cursor: string): void => {
    void run('older', async () => {
      const page = await api.get<AuditReply>('/audit', { query: { ...asked, limit: PAGE, cursor } })
      setLog((last) => last?.of !== name ? last : { of: name, entries: [...last.entries, ...page.entries], older: page.next_cursor })
    })
  }
  const isFiltered = name !== '{}'
  return (
    <Panel
      title='What was done, and what was denied' busy={log === undefined && error === undefined}
      actions={<label class='switch'><input type='checkbox' checked={isFollowing} onChange={() => { setFollowing((last) => !last) }} /> Follow what is new</label>}
    >
      <Filters key={name} filter={filter} />
      {(error ?? failed) !== undefined && <Notice kind='error' error={error ?? failed} />}
      {log !== undefined && (
        <Table
          caption='Entries of the audit log, the newest first' rows={log.entries} rowKey={({ id }) => id}
          empty={isFiltered
            ? <Empty title='Nothing is like that'><p>Ask for less: clear a field above.</p></Empty>
            : <Empty title='Nothing was done yet'><p>Administrative acts, denials and uses of valet keys stand here as they come.</p></Empty>}
          columns={[
            { key: 'time', title: 'When', render: ({ until, count }) => <>{when(until)}{count > 1 && <div class='quiet'>{count} times</div>}</> },
            { key: 'principal', title: 'Who', render: ({ principal, kind }) => <><code>{principal === '' ? 'nobody said' : principal}</code>{kind !== principal && <div class='quiet'>{kind.replaceAll('_', ' ')}</div>}</> },
            { key: 'action', title: 'What', render: ({ action, resource }) => <><code>{action}</code>{resource !== null && <div class='quiet'><code>{resource}</code></div>}</> },
            { key: 'outcome', title: 'Outcome', render: ({ outcome, status, reason }) => <><Badge tone={TONES[outcome]}>{outcome}</Badge> {status}{reason !== null && <div class='quiet'>{reason}</div>}</> },
            { key: 'more', title: 'More', render: (entry) => <More of={entry} /> }
          ]}
        />
      )}
      {log?.older !== undefined && <p class='actions'><Button busy={busy !== undefined} onClick={() => { older(log.older!) }}>Show older ones</Button></p>}
    </Panel>
  )
}

function Filters ({ filter }: { filter: AuditFilter }) {
  const [draft, setDraft] = useState(filter)
  const change = (field: keyof AuditFilter) => (value: string): void => { setDraft((last) => ({ ...last, [field]: value })) }
  const submit = (event: Event): void => {
    event.preventDefault()
    setQuery({ ...draft })
  }
  const clear = (): void => { setQuery(auditFilterOf({}) as unknown as Record<string, string>) }
  return (
    <form class='columns narrow' role='search' onSubmit={submit}>
      <TextField label='Who' hint='As in key:0EXAMPLE' value={draft.principal} onInput={change('principal')} />
      <TextField label='What' hint='As in config.change' value={draft.action} onInput={change('action')} />
      <Choice label='Outcome' value={draft.outcome} onInput={change('outcome')} choices={[['', 'Any'], ['success', 'Success'], ['denied', 'Denied'], ['failure', 'Failure']]} />
      <TextField label='Credential' hint='The id of a key' value={draft.credential_id} onInput={change('credential_id')} />
      <TextField label='Since' type='datetime-local' value={draft.since} onInput={change('since')} />
      <TextField label='Until' type='datetime-local' value={draft.until} onInput={change('until')} />
      <p class='actions'>
        <Button type='submit' kind='primary'>Search</Button>
        <Button kind='quiet' onClick={clear}>Clear</Button>
      </p>
    </form>
  )
}

function More ({ of: { time, count, scope, namespace, key_hash: hash, address, request_id: request } }: { of: AuditEntry }) {
  const facts = ([
    ['First', count > 1 ? when(time) : null], ['Demanded', scope], ['Namespace', namespace], ['Key, SHA-256', hash], ['From', address], ['Request', request]
  ] as const).filter(([, value]) => value !== null && value !== '')
  return (
    <details>
      <summary>Details</summary>
      <dl class='lines'>{facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd><code>{value}</code></dd></div>)}</dl>
    </details>
  )
}
