import { useState } from 'preact/hooks'
import { Button } from './button.js'

/** A line to be taken elsewhere. */
export function Copy ({ text, label }: { text: string, label: string }) {
  const [isCopied, setCopied] = useState(false)
  const copy = (): void => {
    navigator.clipboard.writeText(text).then(() => { setCopied(true) }, () => { setCopied(false) })
  }
  return (
    <div class='copy'>
      <pre tabIndex={0} aria-label={label}><code>{text}</code></pre>
      <Button kind='quiet' onClick={copy}>Copy</Button>
      <span class='unseen' role='status'>{isCopied ? 'Copied' : ''}</span>
    </div>
  )
}
