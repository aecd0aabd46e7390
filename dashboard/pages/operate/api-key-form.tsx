import { useState } from 'preact/hooks'
import type { IssuedApiKey, NewApiKey } from '../../../schemas/keys.js'
import { useApi, useCaller, useDo } from '../../context.js'
import { Button } from '../../parts/button.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { TextField } from '../../parts/text-field.js'
import { ProblemError } from '../../problem-error.js'
import { EMPTY_API_KEY_FORM, faultsIn, newApiKey, type ApiKeyForm as Form } from './new-key.js'
import { ScopeChoice } from './scope-choice.js'

/** Creates API keys: no more than their creator holds is offered. */
export function ApiKeyForm ({ onCreate }: { onCreate: (issued: IssuedApiKey) => void }) {
  const api = useApi()
  const { permissions, namespaces } = useCaller()
  // Who is bound to namespaces has to name those of the new key, among their own.
  const blank = { ...EMPTY_API_KEY_FORM, namespaces: namespaces?.join(', ') ?? '' }
  const [form, setForm] = useState(blank)
  const [faults, setFaults] = useState<Record<string, string>>({})
  const { run, busy, error, clear } = useDo()
  const change = (field: keyof Form) => (value: string): void => { setForm((last) => ({ ...last, [field]: value })) }

  const create = async (body: NewApiKey): Promise<void> => {
    try {
      onCreate(await api.post<IssuedApiKey>('/keys', { body }))
      setForm(blank)
    } catch (error) {
      if (error instanceof ProblemError) setFaults(faultsIn(error.errors))
      throw error
    }
  }
  const submit = (event: Event): void => {
    event.preventDefault()
    clear()
    const made = newApiKey(form)
    setFaults(made.faults ?? {})
    if (made.body !== undefined) void run('create', () => create(made.body))
  }
  return (
    <Panel title='Create an API key'>
      <p class='quiet'>For a program that comes again and again. It is stored as a hash alone: what you do not keep is lost.</p>
      <form onSubmit={submit} noValidate>
        <TextField label='Name' hint='What it is for, in your words.' value={form.name} onInput={change('name')} error={faults['name']} />
        <ScopeChoice
          legend='Scopes' hint='Those that you hold yourself.' permissions={permissions} chosen={form.scopes} error={faults['scopes']}
          onChange={(scopes) => { setForm((last) => ({ ...last, scopes })) }}
        />
        <details>
          <summary>Limit it further</summary>
          <ScopeChoice
            legend='Forbidden' hint='What it may not do, whatever its scopes say, also of those that are added to a resource later.' permissions={permissions} chosen={form.forbid}
            error={faults['forbid']} onChange={(forbid) => { setForm((last) => ({ ...last, forbid })) }}
          />
          <div class='columns'>
            <TextField label='Namespaces' hint={namespaces === null ? 'Of the cache, with commas. Empty: all.' : 'Of the cache, with commas, among those that you reach.'} value={form.namespaces} onInput={change('namespaces')} error={faults['namespaces']} />
            <TextField label='Rate limit' hint='As in 100/minute. Empty: what RATE_LIMITS says.' value={form.rateLimit} onInput={change('rateLimit')} error={faults['rate_limit']} />
            <TextField label='Time to live' hint='As in 12 h or 90 d. Empty: for ever, unless it expires at a time.' value={form.ttl} onInput={change('ttl')} error={faults['ttl']} />
            <TextField label='Expires at' type='datetime-local' hint='In place of a time to live.' value={form.expiresAt} onInput={change('expiresAt')} error={faults['expires_at']} />
          </div>
        </details>
        {error !== undefined && <Notice kind='error' error={error} />}
        <p class='actions'><Button type='submit' kind='primary' busy={busy !== undefined}>Create</Button></p>
      </form>
    </Panel>
  )
}
