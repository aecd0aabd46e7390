import { useEffect, useState } from 'preact/hooks'
import type { Setting } from '../../../schemas/settings.js'
import { useApi, useDo } from '../../context.js'
import { ago } from '../../format.js'
import { Button } from '../../parts/button.js'
import { Notice } from '../../parts/notice.js'
import { Table } from '../../parts/table.js'
import { ProblemError } from '../../problem-error.js'
import { SettingInput } from './setting-input.js'
import { shownValue } from './setting-list.js'
import { parseValue, textOf } from './setting-value.js'
import { SourceBadge } from './source-badge.js'

export interface SettingEditorProps {
  setting: Setting
  /** Told of each change that is made here. */
  onChange: (setting: Setting) => void
  /** Told how it is, where that is news. */
  onRead: (setting: Setting) => void
}

/** Changes a setting in two steps: a dry run shows what would be, and then it is. */
export function SettingEditor ({ setting, onChange, onRead }: SettingEditorProps) {
  const api = useApi()
  const schema = setting.schema ?? {}
  const path = `/config/${encodeURIComponent(setting.key)}`
  /** The setting as it was when the draft was begun: a change is made to that one, or to none. */
  const [base, setBase] = useState(setting)
  const [draft, setDraft] = useState(() => textOf(setting.value, schema))
  const [fault, setFault] = useState<string>()
  const [would, setWould] = useState<Setting>()
  const [applied, setApplied] = useState<string>()
  const { run, busy, error, clear } = useDo()
  const isDraft = draft !== textOf(base.value, schema)
  const isBehind = setting.revision !== base.revision || setting.source !== base.source
  // While a change of one's own is on its way, its news may come before its answer.
  const theirs = busy === 'apply' ? undefined : isBehind && isDraft ? setting : undefined
  useEffect(() => {
    if (isBehind && !isDraft && busy === undefined) begin(setting)
  }, [isBehind, isDraft, busy])

  const begin = (from: Setting, text = textOf(from.value, schema)): void => {
    setBase(from)
    setDraft(text)
    setFault(undefined)
    setWould(undefined)
  }
  const put = async (value: unknown, from: Setting, isDry: boolean): Promise<Setting | undefined> => {
    try {
      return await api.put<Setting>(path, { body: { value }, headers: { 'if-match': `"r${from.revision}"` }, query: { ...isDry && { dry_run: true } } })
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error
      if (error.status === 412) {
        setWould(undefined)
        onRead(await api.get<Setting>(path))
        return undefined
      }
      const said = error.errors.find(({ path }) => path.startsWith('body'))
      if (said === undefined) throw error
      setFault(said.message)
      return undefined
    }
  }
  const preview = (from: Setting): void => {
    const parsed = parseValue(draft, schema)
    setFault(parsed.fault)
    setWould(undefined)
    if (parsed.fault === undefined) void run('preview', async () => { setWould(await put(parsed.value, from, true)) })
  }
  const apply = (): void => {
    if (would === undefined) return
    void run('apply', async () => {
      const changed = await put(would.value, base, false)
      if (changed === undefined) return
      begin({ ...base, ...changed })
      setApplied(shownValue({ ...base, ...changed }))
      onChange(changed)
    })
  }
  const submit = (event: Event): void => {
    event.preventDefault()
    setApplied(undefined)
    preview(base)
  }
  return (
    <form class='editor' onSubmit={submit} noValidate>
      <h3>Change it</h3>
      <SettingInput
        schema={schema} value={draft} error={fault}
        onInput={(text) => {
          setDraft(text)
          setFault(undefined)
          setWould(undefined)
          setApplied(undefined)
          clear()
        }}
      />
      {theirs !== undefined && (
        <Notice kind='warning'>
          <p>
            <strong>It has changed since you began:</strong> now it is <code>{shownValue({ ...setting, ...theirs })}</code>
            {theirs.updated_by === undefined || theirs.updated_by === '' ? '' : `, set by ${theirs.updated_by}`}{theirs.updated_at === undefined ? '' : ` ${ago(theirs.updated_at)}`}.
            Yours, <code>{draft}</code>, is not stored.
          </p>
          <p class='actions'>
            <Button
              onClick={() => {
                begin(theirs, draft)
                preview(theirs)
              }}
            >
              Go on with mine
            </Button>
            <Button onClick={() => { begin(theirs) }}>Take theirs</Button>
          </p>
        </Notice>
      )}
      {error !== undefined && <Notice kind='error' error={error} />}
      {would !== undefined && <Preview now={setting} would={{ ...setting, ...would }} />}
      <p class='actions'>
        {would === undefined
          ? <Button type='submit' kind='primary' busy={busy === 'preview'} disabled={theirs !== undefined}>Preview the change</Button>
          : (
            <>
              <Button kind='primary' busy={busy === 'apply'} onClick={apply}>Apply</Button>
              <Button kind='quiet' onClick={() => { setWould(undefined) }}>Back</Button>
            </>
            )}
        {isDraft && would === undefined && <Button kind='quiet' onClick={() => { begin(setting) }}>Discard</Button>}
      </p>
      {applied !== undefined && <Notice kind='success'><p>It is <code>{applied}</code> now, and in every other process within a second.</p></Notice>}
    </form>
  )
}

/** What a dry run says: nothing of it has happened yet. */
function Preview ({ now, would }: { now: Setting, would: Setting }) {
  return (
    <div role='status'>
      <p>Nothing is changed yet. This is what would be:</p>
      <Table
        caption='What the change would do' rows={[{ what: 'Now', setting: now }, { what: 'Then', setting: would }]} rowKey={({ what }) => what}
        columns={[
          { key: 'what', title: 'When' },
          { key: 'value', title: 'Value', render: ({ setting }) => <code>{shownValue(setting)}</code> },
          { key: 'source', title: 'Source', render: ({ setting }) => <SourceBadge source={setting.source} /> }
        ]}
      />
    </div>
  )
}
