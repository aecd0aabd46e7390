import { Fragment } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { Setting, SettingChange, SettingOverride } from '../../../schemas/settings.js'
import { useAsk, useCaller, useMay } from '../../context.js'
import { ago, when } from '../../format.js'
import { Button } from '../../parts/button.js'
import { Described } from '../../parts/described.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { setQuery } from '../../route.js'
import { isUnlimited } from './offered.js'
import { SettingEditor } from './setting-editor.js'
import { SettingHistory } from './setting-history.js'
import { SettingRemoval } from './setting-removal.js'
import { shownValue, valueText } from './setting-list.js'
import { SourceBadge } from './source-badge.js'

export interface SettingDetailProps {
  setting: Setting
  /** What namespaces of the cache have of their own of it. */
  overrides: readonly SettingOverride[]
  /** The change that somebody else made last while the page was open. */
  elsewhere: SettingChange | undefined
  /** Told of each change that is made here. */
  onChange: (setting: Setting) => void
  /** Told how it is, where that is news. */
  onRead: (setting: Setting) => void
}

/** One setting: what holds and why, how it changes, how it did. */
export function SettingDetail ({ setting, overrides, elsewhere, onChange, onRead }: SettingDetailProps) {
  const { key, changeable, description, revision, updated_at: at, updated_by: by } = setting
  const isFree = isUnlimited(useCaller())
  const may = useMay()
  const { data: explained } = useAsk((api, signal) => api.get<Setting>(`/config/${encodeURIComponent(key)}`, { query: { explain: true }, signal }), [key, revision, setting.source])
  const place = useRef<HTMLDivElement>(null)
  useEffect(() => { place.current?.focus() }, [])
  return (
    <div ref={place} tabIndex={-1} class='detail'>
      <Panel title={key} actions={<Button kind='quiet' onClick={() => { setQuery({ setting: undefined }) }}>Close</Button>}>
        <p><Described text={description} /></p>
        {elsewhere !== undefined && (
          <Notice kind='info'>
            <p>{elsewhere.changed_by === '' ? 'Somebody' : elsewhere.changed_by} changed it {ago(elsewhere.changed_at)}, while this page was open.</p>
          </Notice>
        )}
        <dl class='facts'>
          <dt>In force</dt>
          <dd><code>{shownValue(setting)}</code> <SourceBadge source={setting.source} /></dd>
          {(explained?.layers ?? []).map(({ source, value }) => <Layer key={source} source={source} value={value} />)}
          {overrides.map(({ namespace, value, updated_at: at, updated_by: by }) => (
            <Fragment key={namespace}>
              <dt>In the namespace <code>{namespace}</code></dt>
              <dd><code>{shownValue({ ...setting, value })}</code> <span class='quiet'>since {when(at)}{by === '' ? '' : ` by ${by}`}</span></dd>
            </Fragment>
          ))}
          {at !== undefined && <><dt>Last changed</dt><dd>{when(at)}{by === undefined || by === '' ? '' : ` by ${by}`}, revision {revision}</dd></>}
        </dl>
        {!changeable && (
          <Notice kind='info'>
            <p>It holds from the start of the service to its end: set <code>{key}</code> in the environment or in <code>.env</code>, and start again.</p>
          </Notice>
        )}
        {changeable && isFree && may('config:write') && <SettingEditor setting={setting} onChange={onChange} onRead={onRead} />}
        {changeable && isFree && may('config:delete') && setting.source === 'store' && <SettingRemoval setting={setting} below={explained?.layers?.filter(({ source }) => source !== 'store').at(-1)} onChange={onChange} />}
      </Panel>
      {changeable && <SettingHistory setting={setting} mayRollBack={isFree && may('config:write')} onChange={onChange} />}
    </div>
  )
}

function Layer ({ source, value }: { source: Setting['source'], value: unknown }) {
  const names = { default: 'Default', environment: 'From the environment', store: 'Stored', namespace: 'In the namespace' }
  return <><dt>{names[source]}</dt><dd><code>{valueText(value)}</code></dd></>
}
