import { useEffect, useState } from 'preact/hooks'
import type { CacheClearReply, CacheInvalidateReply, CachePreview } from '../../../schemas/cache-administration.js'
import type { Static } from '@sinclair/typebox'
import { useApi, useDo } from '../../context.js'
import { Button } from '../../parts/button.js'
import { Confirm } from '../../parts/confirm.js'
import { Field } from '../../parts/field.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import type { Backends } from './backends.js'
import { faultOf, tagsOf } from './entry-form.js'
import { DEFAULT_NAMESPACE, type Place } from './place.js'
import { BackendField, NamespaceField } from './place-fields.js'
import { concernedBy, Preview, some } from './preview.js'

type InvalidateReply = Static<typeof CacheInvalidateReply>
type ClearReply = Static<typeof CacheClearReply>

export interface InvalidatePanelProps {
  place: Place
  pattern: string
  backends: Backends
  onChanged: () => void
}

/** Drops many entries by what they have in common, after it was shown what would go. */
export function InvalidatePanel ({ place, pattern: first, backends, onChanged }: InvalidatePanelProps) {
  const api = useApi()
  const looking = useDo()
  const acting = useDo()
  const [tags, setTags] = useState('')
  const [pattern, setPattern] = useState(first)
  const [mode, setMode] = useState<'hard' | 'soft'>('hard')
  const [backend, setBackend] = useState(place.backend ?? '*')
  const [namespace, setNamespace] = useState(place.namespace)
  const [fault, setFault] = useState<{ tags?: string | undefined, pattern?: string | undefined }>({})
  const [preview, setPreview] = useState<CachePreview>()
  const [said, say] = useState('')
  const [isClearing, setClearing] = useState(false)
  // What is listed is mostly what is meant next.
  useEffect(() => {
    setPattern(first)
    setBackend(place.backend ?? '*')
    setNamespace(place.namespace)
    setPreview(undefined)
    say('')
  }, [first, place.backend, place.namespace])
  /** What was previewed is not what stands there any more. */
  const changed = <T, >(set: (value: T) => void) => (value: T): void => {
    set(value)
    setPreview(undefined)
    say('')
    looking.clear()
    acting.clear()
  }
  const where = namespace.trim() === '' ? DEFAULT_NAMESPACE : namespace.trim()
  const query = { namespace: where, ...backend !== '' && { backend } }
  const ask = async (isDry: boolean): Promise<InvalidateReply> => {
    const wanted = tagsOf(tags)
    return await api.post<InvalidateReply>('/api/cache/invalidate', { query: { ...query, ...isDry && { dry_run: true } }, body: { ...wanted.length > 0 && { tags: wanted }, ...pattern !== '' && { pattern }, ...mode === 'soft' && { mode } } })
  }
  const look = (event: Event): void => {
    event.preventDefault()
    say('')
    const tagFault = faultOf(() => tagsOf(tags))
    const isEmpty = tags.trim() === '' && pattern === ''
    setFault({ tags: tagFault, pattern: isEmpty ? 'Give tags, or a pattern, or both. To drop everything, use Clear.' : undefined })
    if (tagFault !== undefined || isEmpty) return
    void looking.run('Looked', async () => { setPreview((await ask(true)).preview) })
  }
  const invalidate = (): void => {
    void acting.run('Invalidated', async () => {
      const { deleted_count: gone, stale_count: stale } = await ask(false)
      setPreview(undefined)
      say(stale === undefined ? `${some(gone)} invalidated.` : `${some(gone + stale)} invalidated, ${stale} of them kept as stale.`)
      onChanged()
    })
  }
  return (
    <Panel title='Invalidate' busy={looking.busy !== undefined || acting.busy !== undefined}>
      <form onSubmit={look} noValidate>
        <Field label='Tags' hint='One a line: entries with any of them go.' error={fault.tags}>
          {(id, describedBy) => <textarea id={id} class='explore-short' aria-describedby={describedBy} value={tags} spellcheck={false} onInput={(event) => { changed(setTags)(event.currentTarget.value) }} />}
        </Field>
        <Field label='Pattern of keys' hint='Entries whose key matches go as well.' error={fault.pattern}>
          {(id, describedBy) => <input id={id} aria-describedby={describedBy} value={pattern} placeholder='temp:*' autoComplete='off' spellcheck={false} onInput={(event) => { changed(setPattern)(event.currentTarget.value) }} />}
        </Field>
        <Field label='Mode' hint={mode === 'hard' ? 'They are gone.' : 'They are kept for their grace: who asks with a lease renews one, the others take the old value meanwhile. Without a grace they are gone.'}>
          {(id, describedBy) => (
            <select id={id} aria-describedby={describedBy} value={mode} onChange={(event) => { changed(setMode)(event.currentTarget.value as 'hard' | 'soft') }}>
              <option value='hard'>Hard</option>
              <option value='soft'>Soft</option>
            </select>
          )}
        </Field>
        <NamespaceField value={namespace} onChange={changed(setNamespace)} />
        <BackendField value={backend} onChange={changed(setBackend)} backends={backends} every />
        {looking.error !== undefined && <Notice kind='error' error={looking.error} />}
        <p class='actions'>
          <Button kind='primary' type='submit' busy={looking.busy !== undefined}>Preview</Button>
          <Button kind='quiet' onClick={() => { setClearing(true) }}>Clear the namespace…</Button>
        </p>
      </form>
      <div role='status'>
        {said !== '' && <p>{said}</p>}
        {preview !== undefined && <Preview preview={preview} />}
      </div>
      {acting.error !== undefined && <Notice kind='error' error={acting.error} />}
      {preview !== undefined && concernedBy(preview) > 0 && (
        <p class='actions'><Button kind='danger' busy={acting.busy !== undefined} onClick={invalidate}>Invalidate {preview.is_complete ? some(concernedBy(preview)) : 'them all'}</Button></p>
      )}
      {isClearing && (
        <Clear
          query={query} where={`namespace ${where}, ${backend === '*' ? 'all backends' : backend === '' ? 'default backend' : `backend ${backend}`}`}
          onClose={() => { setClearing(false) }} onCleared={(count) => { setClearing(false); setPreview(undefined); say(`${some(count)} deleted.`); onChanged() }}
        />
      )}
    </Panel>
  )
}

function Clear ({ query, where, onCleared, onClose }: { query: Record<string, string>, where: string, onCleared: (count: number) => void, onClose: () => void }) {
  const api = useApi()
  const { run, busy, error } = useDo()
  const looking = useDo()
  const [preview, setPreview] = useState<CachePreview>()
  useEffect(() => {
    void looking.run('Looked', async () => { setPreview((await api.post<ClearReply>('/api/cache/clear', { query: { ...query, dry_run: true } })).preview) })
  }, [])
  const clear = (): void => { void run('Cleared', async () => { onCleared((await api.post<ClearReply>('/api/cache/clear', { query })).deleted_count) }) }
  return (
    <Confirm title='Clear the namespace?' confirm='Delete everything in it' danger busy={busy !== undefined} error={error ?? looking.error} onConfirm={clear} onClose={onClose}>
      <p>Everything in {where} goes. It cannot be undone: export it first, if it may be needed.</p>
      <div role='status'>{preview === undefined ? looking.busy !== undefined && <p>Looking what that is…</p> : <Preview preview={preview} />}</div>
    </Confirm>
  )
}
