import { useState } from 'preact/hooks'
import type { ApiKey, IssuedApiKey } from '../../../schemas/keys.js'
import { useApi, useDo } from '../../context.js'
import { Button } from '../../parts/button.js'
import { Dialog } from '../../parts/dialog.js'
import { Notice } from '../../parts/notice.js'
import { TextField } from '../../parts/text-field.js'
import { parseNumber } from './setting-value.js'

const OVERLAP = { type: 'number', minimum: 0, maximum: 2_592_000, unit: 'seconds' }

/** Asks how long the old key lives on, and puts a new one in its place. */
export function ApiKeyRotation ({ apiKey: { id, name }, onRotate, onClose }: { apiKey: ApiKey, onRotate: (issued: IssuedApiKey) => void, onClose: () => void }) {
  const api = useApi()
  const [overlap, setOverlap] = useState('1 d')
  const [fault, setFault] = useState<string>()
  const { run, busy, error } = useDo()
  const submit = (event: Event): void => {
    event.preventDefault()
    const parsed = parseNumber(overlap, OVERLAP)
    setFault(parsed.fault)
    if (parsed.fault !== undefined) return
    void run('rotate', async () => { onRotate(await api.post<IssuedApiKey>(`/keys/${encodeURIComponent(id)}/rotate`, { body: { overlap: parsed.value } })) })
  }
  return (
    <Dialog title={`Rotate ${name ?? id}`} onClose={onClose}>
      <form onSubmit={submit} noValidate>
        <p>A new key with the same rights takes its place.</p>
        <TextField
          label='Overlap' hint='How long the old key lives on, so that its bearers can change over, as in 0, 2 h or 1 d.' value={overlap} error={fault}
          onInput={(text) => {
            setOverlap(text)
            setFault(undefined)
          }}
        />
        {error !== undefined && <Notice kind='error' error={error} />}
        <p class='actions'>
          <Button type='submit' kind='primary' busy={busy !== undefined}>Rotate</Button>
          <Button kind='quiet' onClick={onClose}>Cancel</Button>
        </p>
      </form>
    </Dialog>
  )
}
