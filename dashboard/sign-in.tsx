import { useState } from 'preact/hooks'
import { Button } from './parts/button.js'
import { Dialog } from './parts/dialog.js'
import { Field } from './parts/field.js'
import { Notice } from './parts/notice.js'

/** Takes a credential, and keeps it once the service has said that it is one. */
export function SignIn ({ onSignIn, onClose }: { onSignIn: (credential: string) => Promise<void>, onClose: () => void }) {
  const [credential, setCredential] = useState('')
  const [error, setError] = useState<Error>()
  const [isBusy, setBusy] = useState(false)

  const submit = (event: Event): void => {
    event.preventDefault()
    setBusy(true)
    setError(undefined)
    onSignIn(credential.trim()).then(onClose, (failure: Error) => {
      setError(failure)
      setBusy(false)
    })
  }

  return (
    <Dialog title='Sign in' onClose={onClose}>
      <form onSubmit={submit}>
        <Field label='API key, valet key or the administrator’s key' hint='It is kept in this tab alone, until the tab is closed.'>
          {(id, describedBy) => (
            <input
              id={id} aria-describedby={describedBy} type='password' autocomplete='off' spellcheck={false} required value={credential}
              onInput={(event) => { setCredential(event.currentTarget.value) }}
            />
          )}
        </Field>
        {error !== undefined && <Notice kind='error' error={error} />}
        <p class='actions'>
          <Button type='submit' kind='primary' busy={isBusy} disabled={credential.trim() === ''}>Sign in</Button>
          <Button kind='quiet' onClick={onClose}>Cancel</Button>
        </p>
      </form>
    </Dialog>
  )
}
