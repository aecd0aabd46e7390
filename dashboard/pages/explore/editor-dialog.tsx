import { useRef, useState } from 'preact/hooks'
import { Confirm } from '../../parts/confirm.js'
import { Dialog } from '../../parts/dialog.js'
import { EntryEditor, type EntryEditorProps } from './entry-editor.js'

export type GuardedEditorProps = Omit<EntryEditorProps, 'onTyped'>

/** What guards an editor against being left by mistake: `leave` asks where something was typed. */
export function useGuard (onLeave: () => void) {
  const isTyped = useRef(false)
  const [isAsking, setAsking] = useState(false)
  const leave = (): void => {
    if (isTyped.current) setAsking(true)
    else onLeave()
  }
  const question = isAsking && (
    <Confirm title='Leave what you typed?' confirm='Leave it' danger onConfirm={() => { setAsking(false); isTyped.current = false; onLeave() }} onClose={() => { setAsking(false) }}>
      <p>It is not stored.</p>
    </Confirm>
  )
  return { leave, question, onTyped: (isChanged: boolean) => { isTyped.current = isChanged } }
}

/** The editor for a new entry. */
export function EditorDialog ({ title, about, ...props }: GuardedEditorProps & { title: string, about: string }) {
  const { leave, question, onTyped } = useGuard(props.onCancel)
  return (
    <Dialog title={title} wide onClose={leave}>
      <p class='quiet'>{about}</p>
      <EntryEditor {...props} onCancel={leave} onTyped={onTyped} />
      {question}
    </Dialog>
  )
}
