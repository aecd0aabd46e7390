import { useEffect, useRef, useState } from 'preact/hooks'
import type { Api } from '../../api.js'
import { useApi, useDo } from '../../context.js'
import { bytes } from '../../format.js'
import { Button } from '../../parts/button.js'
import { Field } from '../../parts/field.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { Progress } from '../../parts/progress.js'
import type { Backends } from './backends.js'
import { ExportProgress, type ExportFormat } from './export-progress.js'
import { openSink, type FileSink } from './file-sink.js'
import { DEFAULT_NAMESPACE, type Place } from './place.js'
import { BackendField, NamespaceField } from './place-fields.js'
import { some } from './preview.js'

/** Milliseconds between two words on how far it is. */
const OFTEN = 250
const TYPES: Record<ExportFormat, string> = { json: 'application/json', ndjson: 'application/x-ndjson', csv: 'text/csv' }
const CUT_OFF = 'The export broke off before its end: what was written is no whole file. Look whether the service still runs, and export again.'

/** All that matches as a file, written while it comes. */
export function ExportPanel ({ place, pattern: first, backends }: { place: Place, pattern: string, backends: Backends }) {
  const api = useApi()
  const { run, busy, error, clear } = useDo()
  const [format, setFormat] = useState<ExportFormat>('ndjson')
  const [pattern, setPattern] = useState(first)
  const [backend, setBackend] = useState(place.backend ?? '')
  const [namespace, setNamespace] = useState(place.namespace)
  const [progress, setProgress] = useState('')
  const [said, say] = useState('')
  const under = useRef<AbortController | undefined>(undefined)
  useEffect(() => () => { under.current?.abort() }, [])
  // What is listed is mostly what is meant next.
  useEffect(() => {
    setPattern(first)
    setBackend(place.backend ?? '')
    setNamespace(place.namespace)
  }, [first, place.backend, place.namespace])

  const start = (event: Event): void => {
    event.preventDefault()
    say('')
    setProgress('')
    const end = new AbortController()
    void run('Exported', async () => {
      const name = `larder-${backend === '' ? backends.preferred ?? 'cache' : backend}-${namespace === '*' ? 'all' : namespace}.${format}`
      const sink = await openSink(name, TYPES[format])
      if (sink === undefined) return
      under.current = end
      try {
        const query = { format, pattern, backend, namespace: namespace.trim() === '' ? DEFAULT_NAMESPACE : namespace.trim() }
        const { entries, bytes: size } = await fill(sink, api, query, format, end.signal, (so) => { setProgress(inWords(so)) })
        say(`${some(entries)}, ${bytes(size)}, written to ${name}.`)
      } catch (error) {
        if (!end.signal.aborted) throw error
        say('Cancelled: there is no file.')
      } finally {
        under.current = undefined
      }
    })
  }
  const isRunning = busy !== undefined
  return (
    <Panel title='Export' busy={isRunning}>
      <form onSubmit={start} noValidate>
        <Field label='Format' hint={format === 'csv' ? 'For spreadsheets: it cannot be imported again.' : 'Can be imported again, with nothing lost.'}>
          {(id, describedBy) => (
            <select id={id} aria-describedby={describedBy} value={format} onChange={(event) => { setFormat(event.currentTarget.value as ExportFormat) }}>
              <option value='ndjson'>NDJSON, an entry a line</option>
              <option value='json'>JSON, one document</option>
              <option value='csv'>CSV</option>
            </select>
          )}
        </Field>
        <Field label='Pattern of keys' hint='Nothing: every key.'>
          {(id, describedBy) => <input id={id} aria-describedby={describedBy} value={pattern} placeholder='user:*' autoComplete='off' spellcheck={false} onInput={(event) => { setPattern(event.currentTarget.value) }} />}
        </Field>
        <NamespaceField value={namespace} onChange={setNamespace} every='All namespaces' hint='* is all of them.' />
        <BackendField value={backend} onChange={setBackend} backends={backends} />
        {error !== undefined && <Notice kind='error' error={error} />}
        <p class='actions'>
          <Button kind='primary' type='submit' busy={isRunning}>Export</Button>
          {isRunning && <Button onClick={() => { clear(); under.current?.abort() }}>Cancel</Button>}
        </p>
      </form>
      {isRunning && <Progress label='Exporting' text={progress} />}
      <p role='status'>{said}</p>
    </Panel>
  )
}

const inWords = ({ entries, bytes: size }: ExportProgress): string => `${some(entries)}, ${bytes(size)}`

async function fill (
  sink: FileSink, api: Api, query: Record<string, string>, format: ExportFormat, signal: AbortSignal, onProgress: (progress: ExportProgress) => void
): Promise<ExportProgress> {
  const progress = new ExportProgress(format)
  try {
    const { body } = await api.raw('GET', '/api/cache/export', { query, signal, headers: { accept: '*/*' } })
    const reader = body!.getReader()
    let told = 0
    for (;;) {
      const { value, done } = await reader.read()
      if (done) break
      await sink.write(value)
      progress.add(value)
      if (performance.now() - told < OFTEN) continue
      told = performance.now()
      onProgress(progress)
    }
    if (!progress.isWhole) throw new Error(CUT_OFF)
    await sink.finish()
    return progress
  } catch (error) {
    await sink.abandon()
    // How a browser calls an answer that ends before its end.
    throw error instanceof TypeError && !signal.aborted ? new Error(CUT_OFF, { cause: error }) : error
  }
}
