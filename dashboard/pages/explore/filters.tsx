import { useState } from 'preact/hooks'
import { Button } from '../../parts/button.js'
import { Field } from '../../parts/field.js'
import type { Backends } from './backends.js'
import { BackendField, NamespaceField } from './place-fields.js'
import { DEFAULT_NAMESPACE, type Place } from './place.js'

export interface FiltersProps {
  place: Place
  pattern: string
  backends: Backends
  onChange: (place: Place, pattern: string) => void
}

/** What is to be listed. Nothing is asked before the form is sent. */
export function Filters ({ place, pattern, backends, onChange }: FiltersProps) {
  const [backend, setBackend] = useState(place.backend ?? '')
  const [namespace, setNamespace] = useState(place.namespace)
  const [wanted, setWanted] = useState(pattern)
  const submit = (event: Event): void => {
    event.preventDefault()
    onChange({ backend: backend === '' ? undefined : backend, namespace: namespace.trim() === '' ? DEFAULT_NAMESPACE : namespace.trim() }, wanted)
  }
  return (
    <form class='toolbar explore-filters' role='search' aria-label='Keys' onSubmit={submit}>
      <Field label='Pattern' hint='* any text, ? one character, [abc] one of these; nothing: every key'>
        {(id, describedBy) => <input id={id} aria-describedby={describedBy} value={wanted} placeholder='user:*' autoComplete='off' spellcheck={false} onInput={(event) => { setWanted(event.currentTarget.value) }} />}
      </Field>
      <NamespaceField value={namespace} onChange={setNamespace} hint='Keeps keys and tags apart.' />
      <BackendField value={backend} onChange={setBackend} backends={backends} />
      <Button kind='primary' type='submit'>Find</Button>
    </form>
  )
}
