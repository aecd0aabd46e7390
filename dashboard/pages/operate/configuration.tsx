import { useEffect, useRef, useState } from 'preact/hooks'
import type { Setting, SettingChange, SettingOverride, SettingsReply } from '../../../schemas/settings.js'
import { useApi, useAsk, useStream } from '../../context.js'
import type { StreamMessage } from '../../event-stream.js'
import { Badge } from '../../parts/badge.js'
import { Described } from '../../parts/described.js'
import { Empty } from '../../parts/empty.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { Table } from '../../parts/table.js'
import { Choice, TextField } from '../../parts/text-field.js'
import { hashOf, setQuery, useRoute } from '../../route.js'
import { Processes } from './processes.js'
import { SettingDetail } from './setting-detail.js'
import { changedOverrides, changedSetting, filterSettings, shownValue, withSetting } from './setting-list.js'
import { SourceBadge } from './source-badge.js'
import { StreamBadge } from './stream-badge.js'

/** Every setting, with the changes that anybody makes as they are made. */
export function Configuration () {
  const { query } = useRoute()
  const { settings, overrides, isStale, error, elsewhere, stream, change, put } = useSettings()
  const filter = { text: query['text'] ?? '', source: query['source'] ?? '' }
  const chosen = settings?.find(({ key }) => key === query['setting'])
  // Where one was, after the setting is closed.
  const last = useRef(chosen?.key)
  useEffect(() => {
    if (chosen === undefined && last.current !== undefined) document.getElementById(linkOf(last.current))?.focus()
    last.current = chosen?.key
  }, [chosen?.key])
  if (settings === undefined) return error === undefined ? <p class='quiet' role='status'>Loading the settings…</p> : <Notice kind='error' error={error} />
  const rows = filterSettings(settings, filter)
  return (
    <div class={chosen === undefined ? undefined : 'beside'}>
      {chosen !== undefined && <SettingDetail key={chosen.key} setting={chosen} overrides={overrides.filter(({ key }) => key === chosen.key)} elsewhere={elsewhere.get(chosen.key)} onChange={change} onRead={put} />}
      <div class='list'>
        <Panel title='Settings' actions={<StreamBadge {...stream} />}>
          {error !== undefined && <Notice kind='error' error={error} />}
          {isStale && <Notice kind='warning'><p>The database cannot be asked now: the last values hold, and none can be changed until it is back.</p></Notice>}
          <div class='toolbar' role='search'>
            <TextField label='Filter' type='search' value={filter.text} onInput={(text) => { setQuery({ text }) }} />
            <Choice
              label='Source' value={filter.source} onInput={(source) => { setQuery({ source }) }}
              choices={[['', 'Any'], ['default', 'Default'], ['environment', 'Environment'], ['store', 'Store']]}
            />
          </div>
          <p class='quiet' role='status'>{rows.length === settings.length ? `${rows.length} settings` : `${rows.length} of ${settings.length} settings`}</p>
          <Table
            caption='Settings with their values' rows={rows} rowKey={({ key }) => key} isCurrent={({ key }) => key === chosen?.key}
            empty={<Empty title='No setting is like that'><p>Take a word out of the filter, or choose another source.</p></Empty>}
            columns={[
              {
                key: 'key',
                title: 'Setting',
                render: ({ key, description }) => (
                  <>
                    <a id={linkOf(key)} href={hashOf('operate/configuration', { ...query, setting: key })}><code>{key}</code></a>
                    <div class='quiet prose'><Described text={description} /></div>
                  </>
                )
              },
              { key: 'value', title: 'Value', render: (setting) => <><code>{shownValue(setting)}</code>{elsewhere.has(setting.key) && <div><Badge tone='warn'>changed elsewhere</Badge></div>}<Others overrides={overrides} of={setting.key} /></> },
              { key: 'source', title: 'Source', render: ({ source }) => <SourceBadge source={source} /> }
            ]}
          />
        </Panel>
        <Processes />
      </div>
    </div>
  )
}

/** In how many namespaces it is another one. */
function Others ({ overrides, of }: { overrides: readonly SettingOverride[], of: string }) {
  const count = overrides.filter(({ key }) => key === of).length
  return count === 0 ? null : <div class='quiet'>{count === 1 ? 'another in 1 namespace' : `another in ${count} namespaces`}</div>
}

const linkOf = (key: string): string => `setting-${key}`

/** The settings as they are now, and which of them others have changed since the page was opened. */
function useSettings () {
  const api = useApi()
  const { data, error, reload } = useAsk((api, signal) => api.get<SettingsReply>('/config', { signal }), [])
  const [settings, setSettings] = useState<Setting[]>()
  const [overrides, setOverrides] = useState<readonly SettingOverride[]>([])
  const [elsewhere, setElsewhere] = useState<ReadonlyMap<string, SettingChange>>(new Map())
  const [fault, setFault] = useState<Error>()
  const [since, setSince] = useState<number>()
  const known = useRef<readonly Setting[]>([])
  known.current = settings ?? []
  /** The last change of each that was heard of, and what this page itself did, whose echo is to come. */
  const heard = useRef(new Map<string, string>())
  const own = useRef(new Set<string>())
  useEffect(() => {
    if (data === undefined) return
    setSettings(data.settings)
    setOverrides(data.overrides)
    setSince((last) => last ?? data.revision)
  }, [data])

  const put = (setting: Setting): void => { setSettings((last) => last === undefined ? last : withSetting(last, setting)) }
  const onMessage = ({ data }: StreamMessage): void => {
    const made = data as SettingChange
    if (made.namespace !== undefined) {
      setOverrides((last) => changedOverrides(last, made))
      return
    }
    const setting = known.current.find(({ key }) => key === made.key)
    if (setting === undefined) return
    heard.current.set(made.key, echoOf(made))
    if (!own.current.delete(echoOf(made)) && made.revision > setting.revision) setElsewhere((last) => new Map(last).set(made.key, made))
    const changed = changedSetting(setting, made)
    if (changed === undefined) api.get<Setting>(`/config/${encodeURIComponent(made.key)}`).then(put, setFault)
    else put(changed)
  }
  // Afterwards the stream itself knows where it was.
  const stream = useStream(since === undefined ? undefined : '/config/watch', onMessage, { since })
  const isRefused = stream.state === 'refused'
  useEffect(() => {
    if (!isRefused) return
    // The revisions may be those of another database by now.
    setSince(undefined)
    reload()
  }, [isRefused])

  /** After this page has made a change: `setting` is the answer. */
  const change = (setting: Setting): void => {
    const echo = echoOf({ key: setting.key, revision: setting.revision, ...setting.source === 'store' && { value: setting.value } })
    if (heard.current.get(setting.key) !== echo) own.current.add(echo)
    setElsewhere((last) => new Map([...last].filter(([key]) => key !== setting.key)))
    put(setting)
  }
  return { settings, overrides, isStale: data?.stale === true, error: error ?? fault, elsewhere, stream, change, put }
}

/** By what a change is known again. One that took a setting out of the store has a revision that its answer does not tell. */
function echoOf ({ key, revision, value }: Pick<SettingChange, 'key' | 'revision' | 'value'>): string {
  return value === undefined ? `${key} out` : `${key} ${revision}`
}
