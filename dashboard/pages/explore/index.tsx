import type { RefObject } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { CacheKeysReply } from '../../../schemas/cache-administration.js'
import { useAsk, useMay } from '../../context.js'
import { setQuery, useRoute } from '../../route.js'
import { useBackends, type Backends } from './backends.js'
import { EditorDialog } from './editor-dialog.js'
import { EntryDialog } from './entry-dialog.js'
import { EMPTY_FORM } from './entry-form.js'
import { ExportPanel } from './export-panel.js'
import { Filters } from './filters.js'
import { ImportPanel } from './import-panel.js'
import { InvalidatePanel } from './invalidate-panel.js'
import { KeysPanel, type KeysPage } from './keys-panel.js'
import { DEFAULT_NAMESPACE, queryOf, rememberNamespace, said, type Place } from './place.js'
import { useNamespaces } from './place-fields.js'

const LIMIT = 100
const FIRST_PAGE = { cursor: undefined, before: undefined }

/** What is in the cache, and what may be done with it. Where one is stands in the address. */
export default function Explore () {
  const may = useMay()
  const namespaces = useNamespaces()
  const { query } = useRoute()
  const backends = useBackends()
  const place: Place = { backend: query['backend'], namespace: query['namespace'] ?? namespaces?.[0] ?? DEFAULT_NAMESPACE }
  const { pattern = '' } = query
  const [status, say] = useState('')
  const line = useRef<HTMLParagraphElement>(null)
  const [round, setRound] = useState(0)
  const change = (): void => { setRound((round) => round + 1) }
  useEffect(() => { rememberNamespace(place.namespace) }, [place.namespace])

  return (
    <>
      <h1>Explore</h1>
      <Filters
        key={`${place.backend} ${place.namespace} ${pattern}`} place={place} pattern={pattern} backends={backends}
        onChange={({ backend, namespace }, pattern) => { say(''); setQuery({ backend, namespace, pattern, ...FIRST_PAGE, key: undefined }, true); change() }}
      />
      <p class='explore-said' ref={line} role='status' tabIndex={-1}>{status}</p>
      <Entries line={line} place={place} pattern={pattern} query={query} backends={backends} round={round} onChanged={change} say={say} />
      <div class='panels explore-tools'>
        {may('cache:delete') && <InvalidatePanel place={place} pattern={pattern} backends={backends} onChanged={change} />}
        {may('cache:read') && <ExportPanel place={place} pattern={pattern} backends={backends} />}
        {may('cache:write') && <ImportPanel place={place} backends={backends} onChanged={change} />}
      </div>
    </>
  )
}

interface EntriesProps {
  /** Where it is said what was done. */
  line: RefObject<HTMLParagraphElement | null>
  place: Place
  pattern: string
  query: Readonly<Record<string, string>>
  backends: Backends
  /** Another one when something has changed. */
  round: number
  onChanged: () => void
  say: (what: string) => void
}

function Entries ({ line, place, pattern, query, round, onChanged, say }: EntriesProps) {
  const may = useMay()
  const mayRead = may('cache:read')
  const [isMaking, setMaking] = useState(false)
  const sizes = useRef(new Map<string, number>())
  const { cursor, key } = query
  const before = Number(query['before'] ?? 0)
  const asked = useAsk<KeysPage | undefined>(async (api, signal) => {
    if (!mayRead) return undefined
    const reply = await api.get<CacheKeysReply>('/api/cache/keys', { query: { ...queryOf(place), pattern, cursor, limit: LIMIT }, signal })
    sizes.current = new Map(reply.keys.map(({ key, size }) => [key, size]))
    return { reply, at: Date.now(), place, pattern, before }
  }, [place.backend, place.namespace, pattern, cursor, round, mayRead])
  // The row that the focus would go back to may be gone with its entry, or never have been there.
  const wasOpen = useRef(false)
  const isGone = useRef(false)
  useEffect(() => {
    if (wasOpen.current && key === undefined && (isGone.current || document.activeElement === document.body)) line.current?.focus()
    wasOpen.current = key !== undefined
    isGone.current = false
  }, [key])
  const close = (what = ''): void => {
    say(what)
    isGone.current = what !== ''
    setQuery({ key: undefined }, true)
  }
  return (
    <>
      {mayRead
        ? (
          <KeysPanel
            asked={asked as Parameters<typeof KeysPanel>[0]['asked']} isPaged={cursor !== undefined} current={key} mayWrite={may('cache:write')}
            onOpen={({ key }) => { say(''); setQuery({ key }, true) }} onNew={() => { say(''); setMaking(true) }}
            onFirst={() => { setQuery(FIRST_PAGE, true) }} onNext={(cursor, before) => { setQuery({ cursor, before: String(before) }, true) }}
          />
          )
        : may('cache:write') && <p><button type='button' class='primary' onClick={() => { say(''); setMaking(true) }}>New entry</button></p>}
      {isMaking && (
        <EditorDialog
          title='New entry' about={`In ${said(place)}`} place={place} form={EMPTY_FORM} version={undefined} onCancel={() => { setMaking(false) }}
          onStored={({ key }) => { setMaking(false); say(`${key} is stored.`); onChanged() }}
          onTheirs={(key) => { setMaking(false); setQuery({ key }, true) }}
        />
      )}
      {key !== undefined && mayRead && <EntryDialog key={`${place.backend} ${place.namespace} ${key}`} place={place} name={key} size={sizes.current.get(key)} onChanged={onChanged} onClose={close} />}
    </>
  )
}
