import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import type { CacheItem } from '../../../schemas/cache.js'
import { useApi, useAsk, useDo, useMay } from '../../context.js'
import { bytes } from '../../format.js'
import { Button } from '../../parts/button.js'
import { Confirm } from '../../parts/confirm.js'
import { Dialog } from '../../parts/dialog.js'
import { Empty } from '../../parts/empty.js'
import { Notice } from '../../parts/notice.js'
import { ProblemError } from '../../problem-error.js'
import { deleteEntry, readEntry } from './entries.js'
import { useGuard } from './editor-dialog.js'
import { EntryActions } from './entry-actions.js'
import { EntryEditor } from './entry-editor.js'
import { EntryFacts } from './entry-facts.js'
import { formOf } from './entry-form.js'
import { EntryValue } from './entry-value.js'
import { said, type Place } from './place.js'
import { leftOf } from './time-left.js'
import { timeLeft } from './value-text.js'

/** Bytes from which a value is fetched when that is asked for alone. */
const LARGE = 4 * 1024 * 1024

export interface EntryDialogProps {
  place: Place
  name: string
  /** Bytes, where that is known before. */
  size: number | undefined
  onChanged: () => void
  /** @param what was done last, in words */
  onClose: (what?: string) => void
}

/** One entry, and what may be done with it. */
export function EntryDialog ({ place, name, size, onChanged, onClose }: EntryDialogProps) {
  const may = useMay()
  const [isWanted, setWanted] = useState(size === undefined || size < LARGE)
  const [isEdited, setEdited] = useState(false)
  const [isDeleted, setDeleted] = useState(false)
  const [said_, say] = useState('')
  const { data, error, isLoading, reload } = useAsk(
    async (api, signal) => isWanted ? { item: await readEntry(api, place, name, signal), at: Date.now() } : undefined,
    [isWanted, place.backend, place.namespace, name]
  )
  const status = useRef<HTMLParagraphElement>(null)
  const change = (what: string): void => {
    say(what)
    reload()
    onChanged()
  }
  const view = (what: string): void => {
    setEdited(false)
    change(what)
  }
  // The button that was pressed is gone, and the focus with it.
  useLayoutEffect(() => { if (!isEdited && said_ !== '') status.current?.focus() }, [isEdited])
  const item = data?.item
  const { leave, question, onTyped } = useGuard(() => { setEdited(false) })

  return (
    <Dialog title={isEdited ? 'Edit entry' : 'Entry'} wide onClose={() => { if (isEdited) leave(); else onClose() }}>
      <p class='explore-name'><bdi>{name}</bdi></p>
      <p class='quiet'>In {said(place)}</p>
      <p class='explore-said' ref={status} role='status' tabIndex={-1}>{said_}</p>
      {isEdited && item !== undefined
        ? (
          <EntryEditor
            place={place} form={formOf(item, leftOf(item.ttl, data!.at))} version={item.version} left={item.ttl === 0 ? undefined : timeLeft(leftOf(item.ttl, data!.at))}
            onStored={() => { view('The entry is stored.') }} onTheirs={() => { view('This is what is there now.') }} onCancel={leave} onTyped={onTyped}
          />
          )
        : (
          <>
            {!isWanted && <p>The value takes {bytes(size ?? 0)}. <Button onClick={() => { setWanted(true) }}>Load it</Button></p>}
            {error !== undefined && <Notice kind='error' error={error} />}
            {data !== undefined && item === undefined && <Gone />}
            {item !== undefined && (
              <>
                <EntryFacts item={item} at={data!.at} />
                <EntryValue item={item} />
                {may('cache:write') && <EntryActions place={place} item={item} onChanged={change} />}
              </>
            )}
            <p class='actions'>
              {item !== undefined && may('cache:write') && <Button kind='primary' onClick={() => { setEdited(true) }}>Edit</Button>}
              {item !== undefined && may('cache:delete') && <Button kind='danger' onClick={() => { setDeleted(true) }}>Delete</Button>}
              {isWanted && <Button busy={isLoading} onClick={reload}>Read again</Button>}
              <Button kind='quiet' onClick={() => { onClose() }}>Close</Button>
            </p>
          </>
          )}
      {question}
      {isDeleted && item !== undefined && <Delete place={place} item={item} onClose={() => { setDeleted(false) }} onGone={(what) => { onChanged(); onClose(what) }} onOther={() => { setDeleted(false); change('This is what is there now.') }} />}
    </Dialog>
  )
}

function Gone () {
  return (
    <Empty title='There is no such entry.'>
      <p>It was deleted, has expired or was evicted, or your credential does not reach it. Look in another namespace or backend, or store it with New entry.</p>
    </Empty>
  )
}

interface DeleteProps {
  place: Place
  item: CacheItem
  onGone: (what: string) => void
  onOther: () => void
  onClose: () => void
}

function Delete ({ place, item: { key, version }, onGone, onOther, onClose }: DeleteProps) {
  const api = useApi()
  const { run, busy, error } = useDo()
  const isOther = error instanceof ProblemError && error.status === 412
  const act = (): void => {
    void run('Deleted', async () => {
      const isFound = await deleteEntry(api, place, key, { version })
      onGone(isFound ? `${key} is deleted.` : `${key} was gone already.`)
    })
  }
  if (isOther) {
    return (
      <Confirm title='Somebody else has changed the entry' confirm='Look at what is there now' onConfirm={onOther} onClose={onClose}>
        <p>It is another one than you saw, or gone. Nothing was deleted.</p>
      </Confirm>
    )
  }
  return (
    <Confirm title='Delete the entry?' confirm='Delete' danger busy={busy !== undefined} error={error} onConfirm={act} onClose={onClose}>
      <p class='explore-name'><bdi>{key}</bdi></p>
      <p>Whoever asks for it then finds nothing. It cannot be undone.</p>
    </Confirm>
  )
}
