import type { ComponentChildren } from 'preact'
import { Field } from './field.js'

export interface TextFieldProps {
  label: string
  hint?: ComponentChildren
  error?: string | undefined
  value: string
  onInput: (value: string) => void
  /** Default `text`. `lines` is several of them. */
  type?: 'text' | 'search' | 'number' | 'datetime-local' | 'lines'
  isRequired?: boolean
  /** Names that may be meant, where others can be typed as well. */
  suggestions?: readonly string[]
  isDisabled?: boolean
}

/** A text under its name. */
export function TextField ({ label, hint, error, value, onInput, type = 'text', isRequired = false, suggestions, isDisabled = false }: TextFieldProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(id, describedBy) => {
        const common = {
          id, value, 'aria-describedby': describedBy, 'aria-invalid': error !== undefined, required: isRequired, disabled: isDisabled, spellcheck: false, autocomplete: 'off'
        } as const
        if (type === 'lines') return <textarea {...common} onInput={(event) => { onInput(event.currentTarget.value) }} />
        return (
          <>
            <input {...common} type={type} {...suggestions && { list: `${id}-list` }} step={type === 'datetime-local' ? 1 : undefined} onInput={(event) => { onInput(event.currentTarget.value) }} />
            {suggestions && <datalist id={`${id}-list`}>{suggestions.map((each) => <option key={each} value={each} />)}</datalist>}
          </>
        )
      }}
    </Field>
  )
}

export interface ChoiceProps {
  label: string
  hint?: ComponentChildren
  error?: string | undefined
  value: string
  onInput: (value: string) => void
  choices: readonly (readonly [value: string, text: string])[]
}

/** One of several. */
export function Choice ({ label, hint, error, value, onInput, choices }: ChoiceProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(id, describedBy) => (
        <select id={id} aria-describedby={describedBy} aria-invalid={error !== undefined} value={value} onChange={(event) => { onInput(event.currentTarget.value) }}>
          {choices.map(([each, text]) => <option key={each} value={each}>{text}</option>)}
        </select>
      )}
    </Field>
  )
}
