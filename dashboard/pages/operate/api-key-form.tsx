import type { IssuedApiKey } from '../../../schemas/keys.js'
import { useApi, useCaller } from '../../context.js'
import { Button } from '../../parts/button.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { TextField } from '../../parts/text-field.js'
import { EMPTY_API_KEY_FORM, newApiKey } from './new-key.js'
import { ScopeChoice } from './scope-choice.js'
import { useKeyForm } from './use-key-form.js'

/** Creates API keys: no more than their creator holds is offered. */
export function ApiKeyForm ({ onCreate }: { onCreate: (issued: IssuedApiKey) => void }) {
  const api = useApi()
  const { permissions, namespaces } = useCaller()
  // Who is bound to namespaces has to name those of the new key, among their own.
  const blank = { ...EMPTY_API_KEY_FORM, namespaces: namespaces?.join(', ') ?? '' }
  const { form, faults, change, set, submit, busy, error } = useKeyForm(blank, newApiKey, async (body) => { onCreate(await api.post<IssuedApiKey>('/keys', { body })) })
  return (
    <Panel title='Create an API key'>
      <p class='quiet'>For a program that comes again and again. It is stored as a hash alone: what you do not keep is lost.</p>
      <form onSubmit={submit} noValidate>
        <TextField label='Name' hint='What it is for, in your words.' value={form.name} onInput={change('name')} error={faults['name']} />
        <ScopeChoice
          legend='Scopes' hint='Those that you hold yourself.' permissions={permissions} chosen={form.scopes} error={faults['scopes']}
          onChange={(scopes) => { set({ scopes }) }}
        />
        <details>
          <summary>Limit it further</summary>
          <ScopeChoice
            legend='Forbidden' hint='What it may not do, whatever its scopes say, also of those that are added to a resource later.' permissions={permissions} chosen={form.forbid}
            error={faults['forbid']} onChange={(forbid) => { set({ forbid }) }}
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
