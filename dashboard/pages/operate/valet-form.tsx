import type { ValetKeyReply } from '../../../schemas/valet.js'
import { useApi, useCaller } from '../../context.js'
import { Button } from '../../parts/button.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { TextField } from '../../parts/text-field.js'
import { EMPTY_VALET_FORM, newValetKey } from './new-key.js'
import { valetPermissions } from './offered.js'
import { ScopeChoice } from './scope-choice.js'
import { useKeyForm } from './use-key-form.js'

/** Issues valet keys: no more than the issuer holds is offered. */
export function ValetForm ({ onIssue }: { onIssue: (issued: ValetKeyReply) => void }) {
  const api = useApi()
  const permissions = valetPermissions(useCaller())
  const { form, faults, change, set, submit, busy, error } = useKeyForm(EMPTY_VALET_FORM, newValetKey, async (body) => { onIssue(await api.post<ValetKeyReply>('/valet/token', { body })) })
  return (
    <Panel title='Issue a valet key'>
      <p class='quiet'>A token for minutes that permits a part of what you may do. Hand it to whoever needs just that.</p>
      <form onSubmit={submit} noValidate>
        <ScopeChoice
          legend='Scopes' hint='Those that you may hand out.' permissions={permissions} chosen={form.scopes} error={faults['scopes']}
          onChange={(scopes) => { set({ scopes }) }}
        />
        <div class='columns'>
          <TextField label='Time to live' hint='Up to 1 h, as in 90 or 5 min. Empty: what VALET_TOKEN_TTL says.' value={form.ttl} onInput={change('ttl')} error={faults['ttl']} />
          <TextField label='Uses' hint='Requests that it is good for. Empty: any number.' value={form.maxUses} onInput={change('maxUses')} error={faults['max_uses']} />
          <TextField label='What for' hint='In your words, for the list.' value={form.description} onInput={change('description')} error={faults['description']} />
        </div>
        <details>
          <summary>Limit it further</summary>
          <div class='columns'>
            <TextField
              label='Resources' type='lines' hint='One a line, as in recipes/7 or cache/default/user:*. Empty: all that the scopes permit.' value={form.resources}
              onInput={change('resources')} error={faults['resources']}
            />
            <TextField label='Namespaces' hint='Of the cache, with commas. Empty: those that you reach.' value={form.namespaces} onInput={change('namespaces')} error={faults['namespaces']} />
            <TextField label='Addresses' hint='Where it may be used from, as in 192.0.2.7 or 10.0.0.0/8. Empty: anywhere.' value={form.ip} onInput={change('ip')} error={faults['ip']} />
            <TextField label='Not before' type='datetime-local' hint='Empty: at once.' value={form.notBefore} onInput={change('notBefore')} error={faults['not_before']} />
            <TextField label='Bytes' hint='That a body or an answer may have, as in 64 KiB. Empty: any.' value={form.maxBytes} onInput={change('maxBytes')} error={faults['max_bytes']} />
            <TextField label='Policy' hint='A name under which it can be revoked with others.' value={form.policy} onInput={change('policy')} error={faults['policy']} />
          </div>
        </details>
        {error !== undefined && <Notice kind='error' error={error} />}
        <p class='actions'><Button type='submit' kind='primary' busy={busy !== undefined}>Issue</Button></p>
      </form>
    </Panel>
  )
}
