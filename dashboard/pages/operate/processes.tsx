import type { SettingInstancesReply } from '../../../schemas/settings.js'
import { useAsk, useEvery } from '../../context.js'
import { ago, when } from '../../format.js'
import { Badge } from '../../parts/badge.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { Table } from '../../parts/table.js'

/** Milliseconds between two looks. */
const LOOK = 3000

/** Which settings each process of the service lives by. */
export function Processes () {
  const { data, error, isLoading, reload } = useAsk((api, signal) => api.get<SettingInstancesReply>('/config/instances', { signal }), [])
  useEvery(LOOK, () => { if (!isLoading) reload() })
  return (
    <Panel title='Processes' busy={data === undefined && error === undefined}>
      {error !== undefined && <Notice kind='error' error={error} />}
      {data !== undefined && (
        <Table
          caption='Processes, and the revision of the settings that each lives by' rows={data.instances} rowKey={({ id }) => id}
          empty={<p class='quiet'>No process has given a sign of life in the last seconds: they do once they have read the settings.</p>}
          columns={[
            { key: 'host', title: 'Process', render: ({ host, pid, self }) => <><code>{host}</code>, {pid}{self && ' (this one answers)'}</> },
            { key: 'revision', title: 'Revision', render: ({ revision, current }) => <>{revision} <Badge tone={current ? 'good' : 'warn'}>{current ? 'the last' : `of ${data.revision}`}</Badge></> },
            { key: 'started_at', title: 'Began', render: ({ started_at: at }) => <span title={when(at)}>{ago(at)}</span> }
          ]}
        />
      )}
    </Panel>
  )
}
