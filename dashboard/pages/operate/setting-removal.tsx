import { useState } from 'preact/hooks'
import type { Setting } from '../../../schemas/settings.js'
import { useApi, useDo } from '../../context.js'
import { Button } from '../../parts/button.js'
import { Confirm } from '../../parts/confirm.js'
import { valueText } from './setting-list.js'

export interface SettingRemovalProps {
  setting: Setting
  /** What holds without the stored value, where that is known. */
  below: { source: Setting['source'], value: unknown } | undefined
  onChange: (setting: Setting) => void
}

/** Takes the stored value away. */
export function SettingRemoval ({ setting, below, onChange }: SettingRemovalProps) {
  const api = useApi()
  const [isAsking, setAsking] = useState(false)
  const { run, busy, error, clear } = useDo()
  const remove = (): void => {
    void run('remove', async () => {
      onChange(await api.delete<Setting>(`/config/${encodeURIComponent(setting.key)}`, { headers: { 'if-match': `"r${setting.revision}"` } }))
      setAsking(false)
    })
  }
  const close = (): void => {
    setAsking(false)
    clear()
  }
  return (
    <>
      <p class='actions'><Button kind='danger' onClick={() => { setAsking(true) }}>Take the stored value away</Button></p>
      {isAsking && (
        <Confirm title={`Take ${setting.key} out of the store?`} confirm='Take it away' danger busy={busy !== undefined} error={error} onConfirm={remove} onClose={close}>
          <p>
            {below === undefined
              ? 'What the environment says holds again, or the default.'
              : <>Then <code>{valueText(below.value)}</code> holds again, {below.source === 'default' ? 'the default' : 'as the environment says'}. Now it is <code>{valueText(setting.value)}</code>.</>}
          </p>
        </Confirm>
      )}
    </>
  )
}
