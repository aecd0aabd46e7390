import { useState } from 'preact/hooks'
import type { Setting, SettingHistoryReply } from '../../../schemas/settings.js'
import { useApi, useAsk, useDo } from '../../context.js'
import { when } from '../../format.js'
import { Button } from '../../parts/button.js'
import { Confirm } from '../../parts/confirm.js'
import { Empty } from '../../parts/empty.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { Table } from '../../parts/table.js'
import { changeText, historyLines, valueText, type HistoryLine } from './setting-list.js'

const FIRST = 20
const ALL = 1000

/** Who changed a setting, and when, and to what; and the way back. */
export function SettingHistory ({ setting, mayRollBack, onChange }: { setting: Setting, mayRollBack: boolean, onChange: (setting: Setting) => void }) {
  const api = useApi()
  const path = `/config/${encodeURIComponent(setting.key)}`
  const [limit, setLimit] = useState(FIRST)
  const [target, setTarget] = useState<HistoryLine>()
  const { run, busy, error: failed, done, clear } = useDo()
  const { data, error, isLoading } = useAsk((api, signal) => api.get<SettingHistoryReply>(`${path}/history`, { query: { limit }, signal }), [path, limit, setting.revision, setting.source])
  const lines = historyLines(data?.changes ?? [], data?.next_cursor === undefined)

  const rollBack = (to: HistoryLine): void => {
    void run('back', async () => {
      const body = { revision: to.revision }
      onChange(await api.post<Setting>(`${path}/rollback`, { body, headers: { 'if-match': `"r${setting.revision}"` } }))
      setTarget(undefined)
    })
  }
  const textOfValue = ({ value }: HistoryLine): string => value === undefined ? 'what the environment or the default says' : valueText(value)
  return (
    <Panel title='History' busy={isLoading && data === undefined} level={3}>
      {error !== undefined && <Notice kind='error' error={error} />}
      {done === 'back' && <Notice kind='success'><p>It is rolled back: <code>{valueText(setting.value)}</code> holds now.</p></Notice>}
      {data !== undefined && (
        <Table
          caption={`Changes of ${setting.key}`} rows={lines} rowKey={({ revision }) => String(revision)}
          empty={<Empty title='It was never changed'><p>Changes of the environment are not kept here: those that are stored stand here, with who made them.</p></Empty>}
          columns={[
            { key: 'revision', title: 'Revision', align: 'end' },
            { key: 'change', title: 'What', render: (line) => <code>{changeText(line)}</code> },
            { key: 'changed_at', title: 'When', render: ({ changed_at: at }) => when(at) },
            { key: 'changed_by', title: 'Who', render: ({ changed_by: by }) => by === '' ? 'not known' : by },
            ...mayRollBack
              ? [{
                  key: 'back',
                  title: 'Way back',
                  render: (line: HistoryLine) => line === lines[0]
                    ? 'the last'
                    : <Button kind='quiet' label={`Roll back to revision ${line.revision}`} onClick={() => { setTarget(line) }}>Roll back to it</Button>
                }]
              : []
          ]}
        />
      )}
      {data?.next_cursor !== undefined && (limit < ALL
        ? <p class='actions'><Button onClick={() => { setLimit(Math.min(ALL, limit * 5)) }}>Show older ones</Button></p>
        : <p class='quiet'>The latest {ALL} are shown; the API lists those before.</p>)}
      {target !== undefined && (
        <Confirm
          title={`Roll ${setting.key} back?`} confirm='Roll back' busy={busy !== undefined} error={failed} onConfirm={() => { rollBack(target) }}
          onClose={() => {
            setTarget(undefined)
            clear()
          }}
        >
          <p>It gets the value of revision {target.revision} again, <code>{textOfValue(target)}</code>, as a new revision. Now it is <code>{valueText(setting.value)}</code>.</p>
        </Confirm>
      )}
    </Panel>
  )
}
