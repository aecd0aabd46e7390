import { useState } from 'preact/hooks'
import type { BreakersReply, BreakerStatus } from '../../../schemas/breakers.js'
import { useApi, useAsk, useDo, useEvery, useMay } from '../../context.js'
import { ago, when } from '../../format.js'
import { Badge } from '../../parts/badge.js'
import { BreakerBadge } from '../../parts/breaker-badge.js'
import { Button } from '../../parts/button.js'
import { Confirm } from '../../parts/confirm.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { Table } from '../../parts/table.js'
import { Done } from './done.js'

/** Milliseconds between two looks at the list. */
const LOOK = 2000

/** What each is in front of, where its name does not say it. */
const BEHIND: Readonly<Record<string, string>> = {
  postgres: 'everything that is kept in PostgreSQL',
  database: 'the cache backend in PostgreSQL',
  memory: 'the durable tier of write_through and write_behind',
  file: 'the disk of the cache backend',
  app: 'the service’s own cache'
}

/** What is left alone because it does not answer, or because somebody wants it so. */
export function BreakerList () {
  const api = useApi()
  const may = useMay()
  const mayChange = may('config:write')
  const { data, error, isLoading, reload } = useAsk((api, signal) => api.get<BreakersReply>('/admin/breakers', { signal }), [])
  useEvery(LOOK, () => { if (!isLoading) reload() })
  const [holding, setHolding] = useState<BreakerStatus>()
  const [said, setSaid] = useState<string>()
  const { run, busy, error: failed } = useDo()

  const change = ({ name }: BreakerStatus, to: 'open' | 'close'): void => {
    setSaid(undefined)
    void run(name, async () => {
      try {
        await api.post(`/admin/breakers/${name}/${to}`)
        setSaid(to === 'open' ? `The breaker of ${name} is held open until somebody closes it.` : `The breaker of ${name} is closed.`)
      } finally {
        setHolding(undefined)
        reload()
      }
    })
  }
  const act = (breaker: BreakerStatus) => (
    <>
      {(breaker.held || breaker.state !== 'closed') && <Button label={`Close the breaker of ${breaker.name}`} busy={busy === breaker.name} onClick={() => { change(breaker, 'close') }}>Close</Button>}
      {!breaker.held && <Button kind='danger' label={`Hold open the breaker of ${breaker.name}`} onClick={() => { setHolding(breaker) }}>Hold open</Button>}
    </>
  )
  return (
    <Panel title='Breakers' busy={data === undefined && error === undefined}>
      {(error ?? failed) !== undefined && <Notice kind='error' error={error ?? failed} />}
      <Done said={said} more='It is so in every process that serves here now.' />
      {data !== undefined && (
        <Table
          caption='Breakers and their states' rows={data.breakers} rowKey={({ name }) => name}
          columns={[
            { key: 'name', title: 'In front of', render: ({ name }) => <>{name}{BEHIND[name] !== undefined && <div class='quiet'>{BEHIND[name]}</div>}</> },
            { key: 'state', title: 'State', render: ({ state, held }) => <><BreakerBadge state={state} />{held && <> <Badge tone='warn'>held by hand</Badge></>}</> },
            { key: 'since', title: 'Since', render: ({ since }) => <span title={when(since)}>{ago(since)}</span> },
            { key: 'outages', title: 'Outages in a row', align: 'end' },
            ...mayChange ? [{ key: 'change', title: 'Change', render: act }] : []
          ]}
        />
      )}
      <p class='quiet'>One that is open leaves alone what does not answer, so that nobody waits for it in vain, and looks again by itself. Where several processes serve together, the worst state of any of them is shown.</p>
      {holding !== undefined && (
        <Confirm
          title={`Hold the breaker of ${holding.name} open?`} confirm='Hold it open' danger busy={busy === holding.name} onConfirm={() => { change(holding, 'open') }} onClose={() => { setHolding(undefined) }}
        >
          <p>Whatever needs it is answered as when it is away, until somebody closes the breaker. What has begun goes on.</p>
          {holding.name === 'postgres' && <p>API keys cannot be looked up meanwhile: only the administrator’s key closes it again.</p>}
        </Confirm>
      )}
    </Panel>
  )
}
