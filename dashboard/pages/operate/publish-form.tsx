import { useState } from 'preact/hooks'
import type { Event as LarderEvent } from '../../../schemas/events.js'
import { useApi, useDo } from '../../context.js'
import { Button } from '../../parts/button.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { TextField } from '../../parts/text-field.js'
import { ProblemError } from '../../problem-error.js'
import { faultsIn } from './new-key.js'
import { parseJson } from './setting-value.js'

const EXAMPLE = '{\n  "type": "opened",\n  "by": "the dashboard"\n}'

/** Publishes an event, to see who hears it. */
export function PublishForm () {
  const api = useApi()
  const [channel, setChannel] = useState('test')
  const [namespace, setNamespace] = useState('')
  const [text, setText] = useState(EXAMPLE)
  const [faults, setFaults] = useState<Record<string, string>>({})
  const [published, setPublished] = useState<LarderEvent>()
  const { run, busy, error } = useDo()
  const submit = (submitted: Event): void => {
    submitted.preventDefault()
    const { value: event, fault } = parseJson(text)
    const isObject = typeof event === 'object' && event !== null && !Array.isArray(event)
    const found = {
      ...!/^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(channel) && { channel: 'must begin with a letter, and have letters, digits, - and _ alone' },
      ...fault !== undefined ? { event: fault } : !isObject && { event: 'must be an object' }
    }
    setFaults(found)
    setPublished(undefined)
    if (Object.keys(found).length > 0) return
    void run('publish', async () => {
      try {
        setPublished(await api.post<LarderEvent>('/events', { body: { channel, event, ...namespace.trim() !== '' && { namespace: namespace.trim() } } }))
      } catch (error) {
        if (error instanceof ProblemError) setFaults(faultsIn(error.errors))
        throw error
      }
    })
  }
  return (
    <Panel title='Publish an event'>
      <form onSubmit={submit} noValidate>
        <div class='columns'>
          <TextField label='Channel' hint='What it is about: the first part of its type.' value={channel} onInput={setChannel} error={faults['channel']} />
          <TextField label='Namespace' hint='Who is limited to others does not hear of it. Empty: default.' value={namespace} onInput={setNamespace} error={faults['namespace']} />
        </div>
        <TextField label='Event' type='lines' hint='A JSON object; a type in it becomes the rest of the type.' value={text} onInput={setText} error={faults['event']} />
        {error !== undefined && <Notice kind='error' error={error} />}
        {published !== undefined && <Notice kind='success'><p>Published as <code>{published.type}</code>, about <code>{published.subject}</code>.</p></Notice>}
        <p class='actions'><Button type='submit' kind='primary' busy={busy !== undefined}>Publish</Button></p>
      </form>
    </Panel>
  )
}
