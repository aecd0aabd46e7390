import type { CacheItem } from '../../../schemas/cache.js'
import { Button } from '../../parts/button.js'
import { Notice } from '../../parts/notice.js'
import { beginning, textOf } from './value-text.js'

/** Characters of their value that are shown. */
const SHOWN = 1000

export interface ConflictProps {
  /** Whether the entry was meant to be a new one. */
  isNew: boolean
  /** What is there in place of what was expected; undefined: nothing. */
  theirs: CacheItem | undefined
  busy: boolean
  onOverwrite: () => void
  onTheirs: () => void
}

/** Somebody else was quicker: says so, shows what they stored, and asks what is to be done. */
export function Conflict ({ isNew, theirs, busy, onOverwrite, onTheirs }: ConflictProps) {
  if (theirs === undefined) {
    return (
      <Notice kind='error'>
        <p><strong>The entry is not there any more.</strong></p>
        <p>It was deleted or has expired since you opened it, or your credential does not show it. Nothing was stored. Store yours as a new entry, or cancel.</p>
        <p class='actions'><Button busy={busy} onClick={onOverwrite}>Store mine as a new entry</Button></p>
      </Notice>
    )
  }
  return (
    <Notice kind='error'>
      <p><strong>{isNew ? 'There is an entry under this key already.' : 'Somebody else has changed the entry since you opened it.'}</strong></p>
      <p>Nothing of yours was stored. This is what is there now: store yours over it, or take what is there and leave yours.</p>
      <pre class='value' tabIndex={0} role='group' aria-label='The value that is there now' dir='auto'><code>{beginning(textOf(theirs.value, theirs.data_type), SHOWN)}</code></pre>
      <p class='actions'>
        <Button kind='danger' busy={busy} onClick={onOverwrite}>Store mine over it</Button>
        <Button onClick={onTheirs}>{isNew ? 'Open what is there' : 'Take what is there'}</Button>
      </p>
    </Notice>
  )
}
