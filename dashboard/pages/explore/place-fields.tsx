import { useId, useMemo } from 'preact/hooks'
import { useCaller } from '../../context.js'
import { Field } from '../../parts/field.js'
import type { Backends } from './backends.js'
import { DEFAULT_NAMESPACE, namespacesOf, recentNamespaces } from './place.js'

/** @param every adds a choice of all backends, `*` */
export function BackendField ({ value, onChange, backends, every = false }: { value: string, onChange: (value: string) => void, backends: Backends, every?: boolean }) {
  const { names, preferred } = backends
  return (
    <Field label='Backend'>
      {(id) => (
        <select id={id} value={value} onChange={(event) => { onChange(event.currentTarget.value) }}>
          {every && <option value='*'>All backends</option>}
          <option value=''>Default{preferred === undefined ? '' : ` (${preferred})`}</option>
          {[...new Set([...names, ...value === '' || value === '*' ? [] : [value]])].map((name) => <option key={name} value={name}>{name}</option>)}
        </select>
      )}
    </Field>
  )
}

/** The namespaces that the caller is limited to; undefined: they may be any. */
export function useNamespaces (): readonly string[] | undefined {
  const caller = useCaller()
  return useMemo(() => namespacesOf(caller), [caller])
}

/** A choice for those who are limited to some namespaces; for others a field that remembers. @param every what `*` stands for, where it may be chosen */
export function NamespaceField ({ value, onChange, every, hint }: { value: string, onChange: (value: string) => void, every?: string, hint?: string }) {
  const namespaces = useNamespaces()
  const listId = useId()
  if (namespaces !== undefined) {
    return (
      <Field label='Namespace' hint='The ones that your credential reaches.'>
        {(id, describedBy) => (
          <select id={id} aria-describedby={describedBy} value={value} onChange={(event) => { onChange(event.currentTarget.value) }}>
            {every !== undefined && <option value='*'>{every}</option>}
            {[...new Set([...namespaces, value].filter((name) => name !== '*' && name !== ''))].map((name) => <option key={name} value={name}>{name}</option>)}
          </select>
        )}
      </Field>
    )
  }
  return (
    <Field label='Namespace' hint={hint}>
      {(id, describedBy) => (
        <>
          <input id={id} aria-describedby={describedBy} list={listId} value={value} placeholder={DEFAULT_NAMESPACE} autoComplete='off' spellcheck={false} onInput={(event) => { onChange(event.currentTarget.value) }} />
          <datalist id={listId}>
            {every !== undefined && <option value='*'>{every}</option>}
            {[...new Set([DEFAULT_NAMESPACE, ...recentNamespaces()])].map((name) => <option key={name} value={name} />)}
          </datalist>
        </>
      )}
    </Field>
  )
}
