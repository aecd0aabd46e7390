import { useEffect, useRef } from 'preact/hooks'
import { Button } from '../../parts/button.js'
import { Copy } from '../../parts/copy.js'
import { Panel } from '../../parts/panel.js'
import { curlLine, type Bearer } from './curl.js'

export interface ShownOnceProps {
  title: string
  /** A secret that opens nothing by itself comes without scopes: nothing is tried with it. */
  bearer: Bearer | { secret: string, scopes?: undefined }
  /** What is to be known of it, such as when it ends. */
  note: string
  onDone: () => void
}

/** A new credential: it is in the page's memory alone, and gone with this panel. */
export function ShownOnce ({ title, bearer, note, onDone }: ShownOnceProps) {
  const place = useRef<HTMLDivElement>(null)
  useEffect(() => { place.current?.focus() }, [])
  const done = (): void => {
    place.current?.closest<HTMLElement>('[role="tabpanel"]')?.focus()
    onDone()
  }
  return (
    <div ref={place} tabIndex={-1} class='once'>
      <Panel title={title} actions={<Button onClick={done}>I have it</Button>}>
        <p role='status'><strong>It is shown this once:</strong> copy it now. {note}</p>
        <Copy text={bearer.secret} label={bearer.scopes === undefined ? 'The new secret' : 'The new credential'} />
        {bearer.scopes !== undefined && (
          <>
            <p>To try it in a shell:</p>
            <Copy text={curlLine(location.origin, bearer)} label='A command that uses it' />
          </>
        )}
      </Panel>
    </div>
  )
}
