import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import type { CacheItem, CacheSetReply, CacheStrategy, NewCacheEntry } from '../../../schemas/cache.js'
import { useApi, useDo } from '../../context.js'
import { Button } from '../../parts/button.js'
import { Field } from '../../parts/field.js'
import { Notice } from '../../parts/notice.js'
import { ProblemError } from '../../problem-error.js'
import { toBase64 } from './base64.js'
import { Conflict } from './conflict.js'
import { readEntry, storeEntry, type Condition } from './entries.js'
import { DATA_TYPES, entryOf, type EntryForm, type Faults } from './entry-form.js'
import type { Place } from './place.js'

const STRATEGIES: readonly CacheStrategy[] = ['lru', 'lfu', 'fifo', 'ttl', 'sieve', 's3fifo', 'adaptive', 'write_through', 'write_behind']

export interface EntryEditorProps {
  place: Place
  form: EntryForm
  /** Of the entry that is edited; undefined for a new one. */
  version: string | undefined
  /** Seconds that the edited one still lives, in words. */
  left?: string
  onStored: (entry: NewCacheEntry, reply: CacheSetReply) => void
  /** Somebody else was quicker, and theirs is to be looked at. */
  onTheirs: (key: string) => void
  onCancel: () => void
  /** Is told whether something was typed that is not stored. */
  onTyped: (isChanged: boolean) => void
}

/** Stores an entry, over nothing but what was seen: whoever was quicker is shown first. */
export function EntryEditor ({ place, form: initial, version, left, onStored, onTheirs, onCancel, onTyped }: EntryEditorProps) {
  const api = useApi()
  const { run, busy, error } = useDo()
  const [form, setForm] = useState(initial)
  const [faults, setFaults] = useState<Faults>({})
  const [conflict, setConflict] = useState<{ theirs: CacheItem | undefined }>()
  const element = useRef<HTMLFormElement>(null)
  const isNew = version === undefined
  const change = (changes: Partial<EntryForm>): void => { setForm((form) => ({ ...form, ...changes })) }

  useEffect(() => { element.current?.querySelector<HTMLElement>(isNew ? 'input' : 'textarea, select')?.focus() }, [])
  useLayoutEffect(() => { element.current?.querySelector<HTMLElement>('.invalid :is(input, textarea, select)')?.focus() }, [faults])

  const store = async (condition: Condition): Promise<void> => {
    const { entry, faults } = entryOf(form)
    setFaults(faults ?? {})
    if (entry === undefined) return
    await run('Stored', async () => {
      try {
        const reply = await storeEntry(api, place, entry, condition)
        setConflict(undefined)
        onStored(entry, reply)
      } catch (error) {
        if (!(error instanceof ProblemError) || error.status !== 412) throw error
        setConflict({ theirs: await readEntry(api, place, form.key) })
      }
    })
  }
  const submit = (event: Event): void => {
    event.preventDefault()
    void store(isNew ? { absent: true } : { version })
  }
  useEffect(() => { onTyped(JSON.stringify(form) !== JSON.stringify(initial)) }, [form])
  const { hint } = DATA_TYPES.find(({ type }) => type === form.dataType)!

  return (
    <form ref={element} onSubmit={submit} noValidate>
      <Field label='Key' error={faults.key} hint={isNew ? 'A colon separates parts, as in user:123.' : undefined}>
        {(id, describedBy) => <input id={id} aria-describedby={describedBy} value={form.key} readOnly={!isNew} autoComplete='off' spellcheck={false} onInput={(event) => { change({ key: event.currentTarget.value }) }} />}
      </Field>
      <Field label='Type'>
        {(id) => (
          <select id={id} value={form.dataType} onChange={(event) => { change({ dataType: event.currentTarget.value as EntryForm['dataType'] }) }}>
            {DATA_TYPES.map(({ type, title }) => <option key={type} value={type}>{title} ({type})</option>)}
          </select>
        )}
      </Field>
      <Field label='Value' hint={hint} error={faults.value}>
        {(id, describedBy) => <textarea id={id} class='explore-editor' aria-describedby={describedBy} aria-invalid={faults.value !== undefined} value={form.value} spellcheck={false} dir='auto' onInput={(event) => { change({ value: event.currentTarget.value }) }} />}
      </Field>
      {form.dataType === 'binary' && (
        <Field label='From a file' hint='Takes the place of the value above.'>
          {(id, describedBy) => <input id={id} type='file' aria-describedby={describedBy} onChange={(event) => { void contentOf(event.currentTarget.files?.[0]).then((value) => { if (value !== undefined) change({ value }) }) }} />}
        </Field>
      )}
      <div class='explore-columns'>
        <Field label='TTL in seconds' error={faults.ttl} hint={`${left === undefined ? '' : `${left} were left when this was opened; it runs anew from now. `}0: never expires. Nothing: the default of the backend.`}>
          {(id, describedBy) => <input id={id} inputMode='decimal' aria-describedby={describedBy} value={form.ttl} autoComplete='off' onInput={(event) => { change({ ttl: event.currentTarget.value }) }} />}
        </Field>
        <Field label='Grace in seconds' error={faults.grace} hint='For which it is kept as stale, past its TTL; what never expires, past a soft invalidation.'>
          {(id, describedBy) => <input id={id} inputMode='decimal' aria-describedby={describedBy} value={form.grace} autoComplete='off' onInput={(event) => { change({ grace: event.currentTarget.value }) }} />}
        </Field>
        <Field label='Strategy' hint='Who goes first when there is no room.'>
          {(id, describedBy) => (
            <select id={id} aria-describedby={describedBy} value={form.strategy} onChange={(event) => { change({ strategy: event.currentTarget.value as EntryForm['strategy'] }) }}>
              <option value=''>Default of the backend</option>
              {STRATEGIES.map((strategy) => <option key={strategy} value={strategy}>{strategy}</option>)}
            </select>
          )}
        </Field>
        <Field label='Tags' error={faults.tags} hint='One a line. Entries can be invalidated by them.'>
          {(id, describedBy) => <textarea id={id} aria-describedby={describedBy} value={form.tags} spellcheck={false} onInput={(event) => { change({ tags: event.currentTarget.value }) }} />}
        </Field>
        <Field label='Metadata' error={faults.metadata} hint='A JSON object, or nothing.'>
          {(id, describedBy) => <textarea id={id} aria-describedby={describedBy} value={form.metadata} spellcheck={false} onInput={(event) => { change({ metadata: event.currentTarget.value }) }} />}
        </Field>
      </div>
      {conflict !== undefined && (
        <Conflict
          isNew={isNew} theirs={conflict.theirs} busy={busy !== undefined}
          onOverwrite={() => { void store(conflict.theirs === undefined ? { absent: true } : { version: conflict.theirs.version }) }}
          onTheirs={() => { onTheirs(form.key) }}
        />
      )}
      {error !== undefined && <Notice kind='error' error={error} />}
      <p class='actions'>
        <Button kind='primary' type='submit' busy={busy !== undefined}>Store</Button>
        <Button kind='quiet' onClick={onCancel}>Cancel</Button>
      </p>
    </form>
  )
}

async function contentOf (file: File | undefined): Promise<string | undefined> {
  return file === undefined ? undefined : toBase64(new Uint8Array(await file.arrayBuffer()))
}
