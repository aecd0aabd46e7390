import type { ComponentChildren } from 'preact'
import { useId } from 'preact/hooks'

export interface FieldProps {
  label: string
  hint?: ComponentChildren
  /** What is wrong with what stands in it. */
  error?: string | undefined
  /** Makes the control: it takes the id, and `aria-describedby` where there is something to say. */
  children: (id: string, describedBy: string | undefined) => ComponentChildren
}

/** A control with its name, and what is to be known of it. */
export function Field ({ label, hint, error, children }: FieldProps) {
  const id = useId()
  const describedBy = [hint === undefined ? '' : `${id}-hint`, error === undefined ? '' : `${id}-error`].join(' ').trim()
  return (
    <div class={error === undefined ? 'field' : 'field invalid'}>
      <label for={id}>{label}</label>
      {children(id, describedBy === '' ? undefined : describedBy)}
      {hint !== undefined && <p class='hint' id={`${id}-hint`}>{hint}</p>}
      {error !== undefined && <p class='fault' id={`${id}-error`} role='alert'>{error}</p>}
    </div>
  )
}
