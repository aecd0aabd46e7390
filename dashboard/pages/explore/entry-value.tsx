import { useMemo, useState } from 'preact/hooks'
import type { CacheItem } from '../../../schemas/cache.js'
import { bytes } from '../../format.js'
import { Button } from '../../parts/button.js'
import { fromBase64 } from './base64.js'
import { download } from './file-sink.js'
import { JsonTree } from './json-tree.js'
import { beginning, fileNameOf, hexDump, isStructured, SHOWN, textOf } from './value-text.js'

/** Characters of JSON up to which it is shown as text at first. */
const SMALL = 2000
const LABEL = 'Value'

/** The value of an entry as what it is: JSON to open and close, text, or bytes. */
export function EntryValue ({ item: { key, value, data_type: type } }: { item: CacheItem }) {
  const text = useMemo(() => textOf(value, type), [value, type])
  const content = useMemo(() => type === 'binary' ? fromBase64(text) : undefined, [text, type])
  const [isTree, setTree] = useState(isStructured(type) && typeof value === 'object' && text.length > SMALL)
  const save = (): void => { download(new Blob([content ?? text]), fileNameOf(key, type)) }
  return (
    <section aria-label={LABEL}>
      <div class='actions explore-value-actions'>
        <span class='quiet'>{content === undefined ? `${type}, ${new Intl.NumberFormat().format(text.length)} ${text.length === 1 ? 'character' : 'characters'}` : `binary, ${bytes(content.length)}`}</span>
        {isStructured(type) && <Button kind='quiet' onClick={() => { setTree(!isTree) }}>{isTree ? 'Show as text' : 'Show as tree'}</Button>}
        <Button kind='quiet' onClick={save}>Download</Button>
      </div>
      {content !== undefined
        ? <Bytes content={content} />
        : isTree ? <JsonTree value={value} label={LABEL} /> : <LongText key={text} text={text} />}
    </section>
  )
}

function LongText ({ text }: { text: string }) {
  const [isWhole, setWhole] = useState(text.length <= SHOWN)
  return (
    <>
      <pre class='value' tabIndex={0} role='group' aria-label={LABEL} dir='auto'><code>{isWhole ? text : beginning(text)}</code></pre>
      {!isWhole && (
        <p class='actions'>
          <span class='quiet'>Only the beginning is shown.</span>
          <Button onClick={() => { setWhole(true) }}>Show all {new Intl.NumberFormat().format(text.length)} characters</Button>
        </p>
      )}
    </>
  )
}

const SAMPLE = 256

function Bytes ({ content }: { content: Uint8Array }) {
  if (content.length === 0) return <p class='quiet'>No bytes at all.</p>
  return (
    <>
      <pre class='explore-bytes' tabIndex={0} role='group' aria-label={LABEL}><code>{hexDump(content, SAMPLE)}</code></pre>
      {content.length > SAMPLE && <p class='quiet'>The first {SAMPLE} bytes; Download has all of them.</p>}
    </>
  )
}
