import { useState } from 'preact/hooks'
import type { AccessExplanation } from '../../../schemas/authz.js'
import { useApi, useDo } from '../../context.js'
import { Badge } from '../../parts/badge.js'
import { Button } from '../../parts/button.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { Choice, TextField } from '../../parts/text-field.js'

const METHODS = ['GET', 'POST', 'PUT', 'DELETE'].map((method) => [method, method] as const)
const BEARERS = [['key_id', 'An API key'], ['valet_id', 'A valet key'], ['scopes', 'A credential as it might be']] as const

/** Says whether a request would be let through, and by which rule. */
export function ExplainAccess () {
  const api = useApi()
  const [method, setMethod] = useState('GET')
  const [path, setPath] = useState('/api/cache/get/user:1')
  const [bearer, setBearer] = useState<string>('scopes')
  const [of, setOf] = useState('cache:read')
  const [namespaces, setNamespaces] = useState('')
  const [resources, setResources] = useState('')
  const [answer, setAnswer] = useState<AccessExplanation>()
  const { run, busy, error } = useDo()
  const submit = (event: Event): void => {
    event.preventDefault()
    setAnswer(undefined)
    void run('explain', async () => {
      const limits = bearer === 'scopes' ? { namespaces: namespaces.trim(), resources: resources.trim() } : {}
      setAnswer(await api.get<AccessExplanation>('/authz/explain', { query: { method, path: path.trim(), [bearer]: of.trim(), ...limits } }))
    })
  }
  return (
    <Panel title='May they?'>
      <p class='quiet'>Nothing is done, and no use is counted: this only says what would become of a request.</p>
      <form onSubmit={submit}>
        <div class='columns'>
          <Choice label='Method' value={method} onInput={setMethod} choices={METHODS} />
          <TextField label='Path' hint='With its query, as in /api/cache/get/user:1?namespace=shop' value={path} onInput={setPath} isRequired />
          <Choice label='Who asks' value={bearer} onInput={setBearer} choices={BEARERS} />
          {bearer === 'scopes'
            ? (
              <>
                <TextField label='Its scopes' hint='With commas, as in cache:read,items:*' value={of} onInput={setOf} isRequired />
                <TextField label='Its namespaces' hint='With commas. Empty: all.' value={namespaces} onInput={setNamespaces} />
                <TextField label='Its resources' hint='With commas, as in products/7. Empty: all.' value={resources} onInput={setResources} />
              </>
              )
            : <TextField label='Its id' hint='As it stands in the list.' value={of} onInput={setOf} isRequired />}
        </div>
        {error !== undefined && <Notice kind='error' error={error} />}
        <p class='actions'><Button type='submit' kind='primary' busy={busy !== undefined}>Explain</Button></p>
      </form>
      {answer !== undefined && (
        <Notice kind={answer.decision === 'permit' ? 'success' : 'warning'}>
          <p><Badge tone={answer.decision === 'permit' ? 'good' : 'bad'}>{answer.decision === 'permit' ? 'let through' : 'turned away'}</Badge> {answer.detail}</p>
          <p><code>{answer.route.method} {answer.route.path}</code> demands <code>{answer.route.scope}</code>.</p>
        </Notice>
      )}
    </Panel>
  )
}
