import { useState } from 'preact/hooks'
import { Button } from '../../parts/button.js'
import { beginning } from './value-text.js'

/** Members that are shown at once. */
const PORTION = 100
/** Characters of a text inside. */
const LONG = 500

type Parent = unknown[] | Record<string, unknown>

const isParent = (value: unknown): value is Parent => typeof value === 'object' && value !== null

/** A JSON value whose parts open and close. What is closed is not there, however large it is. */
export function JsonTree ({ value, label }: { value: unknown, label: string }) {
  return (
    <div class='value explore-tree' tabIndex={0} role='group' aria-label={label}>
      {isParent(value) ? <Branch parent={value} isOpen /> : <Leaf value={value} />}
    </div>
  )
}

function Branch ({ name, parent, isOpen: isOpenFirst }: { name?: string, parent: Parent, isOpen: boolean }) {
  const [isOpen, setOpen] = useState(isOpenFirst)
  const [most, setMost] = useState(PORTION)
  const members = Object.entries(parent)
  const what = Array.isArray(parent) ? `[${members.length}]` : `{${members.length}}`
  return (
    <details open={isOpenFirst} onToggle={(event) => { if (event.target === event.currentTarget) setOpen(event.currentTarget.open) }}>
      <summary><code>{name !== undefined && <bdi>{name}: </bdi>}<span class='quiet'>{what}</span></code></summary>
      {isOpen && (
        <ul>
          {members.slice(0, most).map(([name, member]) => (
            <li key={name}>{isParent(member) ? <Branch name={name} parent={member} isOpen={false} /> : <><code><bdi>{name}</bdi>: </code><Leaf value={member} /></>}</li>
          ))}
        </ul>
      )}
      {isOpen && members.length > most && <Button kind='quiet' onClick={() => { setMost(most + PORTION) }}>Show more of {members.length}</Button>}
    </details>
  )
}

function Leaf ({ value }: { value: unknown }) {
  const text = JSON.stringify(value)
  const [isWhole, setWhole] = useState(text.length <= LONG)
  return (
    <>
      <code dir='auto'>{isWhole ? text : `${beginning(text, LONG)}…`}</code>
      {!isWhole && <Button kind='quiet' onClick={() => { setWhole(true) }}>Show all of it</Button>}
    </>
  )
}
