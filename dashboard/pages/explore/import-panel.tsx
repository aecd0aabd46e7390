import { useEffect, useRef, useState } from 'preact/hooks'
import type { CacheImportReply } from '../../../schemas/cache-transfer.js'
import type { Static } from '@sinclair/typebox'
import { useApi, useDo } from '../../context.js'
import { bytes } from '../../format.js'
import { Button } from '../../parts/button.js'
import { Field } from '../../parts/field.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { Progress } from '../../parts/progress.js'
import type { Backends } from './backends.js'
import type { Place } from './place.js'
import { BackendField, NamespaceField } from './place-fields.js'
import { some } from './preview.js'
import { upload } from './upload.js'

const CSV = 'CSV is for spreadsheets, and cannot be imported: export as NDJSON or JSON, and choose that file.'

export interface ImportPanelProps {
  place: Place
  backends: Backends
  onChanged: () => void
}

/** A file that an export made, back into a cache: all of it or nothing. */
export function ImportPanel ({ place, backends, onChanged }: ImportPanelProps) {
  const api = useApi()
  const { run, busy, error, clear } = useDo()
  const [file, setFile] = useState<File>()
  const [fault, setFault] = useState<string>()
  const [backend, setBackend] = useState(place.backend ?? '')
  const [where, setWhere] = useState('*')
  const [sent, setSent] = useState(0)
  const [said, say] = useState('')
  const [isOver, setOver] = useState(false)
  const under = useRef<AbortController | undefined>(undefined)
  useEffect(() => () => { under.current?.abort() }, [])
  useEffect(() => { setBackend(place.backend ?? '') }, [place.backend])
  const isRunning = busy !== undefined

  const choose = (chosen: File | undefined): void => {
    if (isRunning || chosen === undefined) return
    clear()
    say('')
    setFault(/\.csv$/i.test(chosen.name) ? CSV : undefined)
    setFile(chosen)
  }
  const start = (event: Event): void => {
    event.preventDefault()
    if (file === undefined) return setFault('Choose a file that an export has made, or drop one here.')
    if (fault !== undefined) return
    say('')
    setSent(0)
    const end = new AbortController()
    under.current = end
    void run('Imported', async () => {
      try {
        const query = { backend, namespace: where === '*' ? undefined : where.trim() }
        const contentType = /\.(?:ndjson|jsonl)$/i.test(file.name) ? 'application/x-ndjson' : 'application/json'
        const { successful_count: count } = await upload<Static<typeof CacheImportReply>>(api, '/api/cache/import', file, { query, contentType, signal: end.signal, onProgress: setSent })
        say(`${some(count)} imported from ${file.name}.`)
        onChanged()
      } catch (error) {
        if (!end.signal.aborted) throw error
        say('Cancelled. Nothing was stored, unless the service had all of the file by then: look at the keys.')
        onChanged()
      } finally {
        under.current = undefined
      }
    })
  }
  const drop = (event: DragEvent): void => {
    event.preventDefault()
    setOver(false)
    choose(event.dataTransfer?.files[0])
  }
  return (
    <Panel title='Import' busy={isRunning}>
      <form
        class={isOver ? 'explore-drop over' : 'explore-drop'} onSubmit={start} onDrop={drop} noValidate
        onDragOver={(event) => { event.preventDefault(); setOver(true) }} onDragLeave={() => { setOver(false) }}
      >
        <Field label='File' hint={file === undefined ? 'NDJSON or JSON, as an export has made it. It can be dropped here, too.' : `${file.name}, ${bytes(file.size)}`} error={fault}>
          {(id, describedBy) => <input id={id} type='file' accept='.json,.ndjson,.jsonl,application/json,application/x-ndjson' aria-describedby={describedBy} onChange={(event) => { choose(event.currentTarget.files?.[0]) }} />}
        </Field>
        <NamespaceField value={where} onChange={setWhere} every='Where each entry was' hint='* leaves each entry where it was.' />
        <BackendField value={backend} onChange={setBackend} backends={backends} />
        <p class='quiet'>All of the file is stored, or nothing. TTLs run on from now; what is under the same keys is replaced.</p>
        {error !== undefined && <Notice kind='error' error={error} />}
        <p class='actions'>
          <Button kind='primary' type='submit' busy={isRunning}>Import</Button>
          {isRunning && <Button onClick={() => { under.current?.abort() }}>Cancel</Button>}
        </p>
      </form>
      {isRunning && file !== undefined && (
        <Progress label='Importing' value={sent} max={Math.max(1, file.size)} text={sent >= file.size ? 'Sent. The service checks and stores it.' : `${bytes(sent)} of ${bytes(file.size)} sent`} />
      )}
      <p role='status'>{said}</p>
    </Panel>
  )
}
