import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { Button } from '../../parts/button.js'
import { Field } from '../../parts/field.js'
import { Notice } from '../../parts/notice.js'
import { ProblemError } from '../../problem-error.js'
import { faultsIn, faultsOf, type Draft, type FieldName, type Faults } from './draft.js'

const LABELS: readonly { name: FieldName, label: string, hint?: string, mode?: 'decimal' | 'numeric', isLong?: boolean }[] = [
  { name: 'name', label: 'Name' },
  { name: 'category', label: 'Category', hint: 'Such as Electronics' },
  { name: 'price', label: 'Price', hint: 'With at most two decimals, such as 29.99', mode: 'decimal' },
  { name: 'stock_quantity', label: 'Stock', hint: 'How many there are', mode: 'numeric' },
  { name: 'unit', label: 'Unit', hint: 'What is counted, such as kg; may be empty' },
  { name: 'description', label: 'Description', hint: 'May be empty', isLong: true }
]

export interface ProductFormProps {
  start: Draft
  submit: string
  busy: boolean
  error: Error | undefined
  /** Answers whether it was done: the form begins anew then. */
  onSubmit: (draft: Draft) => Promise<boolean>
  /** Beside the button. */
  children?: ComponentChildren
}

/** The fields of a product. What is wrong with one stands under it, whether it is seen here or by the service. */
export function ProductForm ({ start, submit, busy, error, onSubmit, children }: ProductFormProps) {
  const form = useRef<HTMLFormElement>(null)
  const [draft, setDraft] = useState(start)
  const [own, setOwn] = useState<Faults>({})
  const refused = error instanceof ProblemError ? faultsIn(error) : {}
  const faults: Faults = { ...refused, ...own }
  const isForFields = Object.keys(refused).length > 0
  useEffect(() => { form.current?.querySelector<HTMLElement>('[aria-invalid]')?.focus() }, [own, error])

  const send = async (event: Event): Promise<void> => {
    event.preventDefault()
    if (busy) return
    const found = faultsOf(draft)
    setOwn(found)
    if (Object.keys(found).length === 0 && await onSubmit(draft)) setDraft(start)
  }
  return (
    <form ref={form} noValidate onSubmit={(event) => { void send(event) }}>
      <div class='fields'>
        {LABELS.map(({ name, label, hint, mode, isLong = false }) => (
          <Field key={name} label={label} hint={hint} error={faults[name]}>
            {(id, describedBy) => {
              const given = {
                id,
                value: draft[name],
                'aria-describedby': describedBy,
                'aria-invalid': faults[name] === undefined ? undefined : true,
                onInput: ({ currentTarget: { value } }: { currentTarget: HTMLInputElement | HTMLTextAreaElement }) => { setDraft((last) => ({ ...last, [name]: value })) }
              } as const
              return isLong ? <textarea {...given} rows={2} /> : <input {...given} type='text' autocomplete='off' inputMode={mode} />
            }}
          </Field>
        ))}
      </div>
      {error !== undefined && !isForFields && <Notice kind='error' error={error} />}
      <p class='actions'>
        <Button type='submit' kind='primary' busy={busy}>{submit}</Button>
        {children}
      </p>
    </form>
  )
}
