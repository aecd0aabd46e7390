import { useState } from 'preact/hooks'
import { useDo, type Doing } from '../../context.js'
import { ProblemError } from '../../problem-error.js'
import { faultsIn, type Made } from './new-key.js'

export interface KeyForm<Form> {
  form: Form
  faults: Readonly<Record<string, string>>
  change: (field: keyof Form) => (value: string) => void
  set: (changes: Partial<Form>) => void
  submit: (event: Event) => void
  busy: Doing['busy']
  error: Doing['error']
}

/** A form that makes a key: held to its rules before it is sent and to the service's afterwards, and blank again once there is one. */
export function useKeyForm<Form extends object, Body> (blank: Form, make: (form: Form) => Made<Body>, send: (body: Body) => Promise<void>): KeyForm<Form> {
  const [form, setForm] = useState(blank)
  const [faults, setFaults] = useState<Record<string, string>>({})
  const { run, busy, error, clear } = useDo()
  const set = (changes: Partial<Form>): void => { setForm((last) => ({ ...last, ...changes })) }

  const give = async (body: Body): Promise<void> => {
    try {
      await send(body)
      setForm(blank)
    } catch (error) {
      if (error instanceof ProblemError) setFaults(faultsIn(error.errors))
      throw error
    }
  }
  const submit = (event: Event): void => {
    event.preventDefault()
    clear()
    const made = make(form)
    setFaults(made.faults ?? {})
    if (made.faults === undefined) void run('make', () => give(made.body))
  }
  return { form, faults, set, change: (field) => (value) => { set({ [field]: value } as unknown as Partial<Form>) }, submit, busy, error }
}
