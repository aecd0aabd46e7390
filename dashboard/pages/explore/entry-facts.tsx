import type { CacheItem } from '../../../schemas/cache.js'
import { ago, bytes, when } from '../../format.js'
import { TimeLeft } from './time-left.js'

/** What is known of an entry besides its value. @param at when it was read, in milliseconds since 1970 */
export function EntryFacts ({ item, at }: { item: CacheItem, at: number }) {
  const { data_type: type, ttl, grace, size, version, backend, strategy, access_count: count, created_at: created, metadata: { tags = [], ...metadata } } = item
  return (
    <>
      <dl class='explore-facts'>
        <dt>TTL left</dt><dd><TimeLeft ttl={ttl} at={at} /></dd>
        {grace !== undefined && <><dt>Grace</dt><dd>{grace} s past its TTL</dd></>}
        <dt>Type</dt><dd>{type}</dd>
        <dt>Size</dt><dd>{bytes(size)}</dd>
        <dt>Backend</dt><dd>{backend}</dd>
        <dt>Strategy</dt><dd>{strategy}</dd>
        <dt>Version</dt><dd><code>{version}</code></dd>
        <dt>Written</dt><dd><time dateTime={created} title={when(created)}>{ago(created, at)}</time></dd>
        <dt>Accesses</dt><dd>{count}, this one included</dd>
        <dt>Tags</dt>
        <dd>{tags.length === 0 ? 'none' : <ul class='explore-tags'>{tags.map((tag) => <li key={tag}><bdi>{tag}</bdi></li>)}</ul>}</dd>
      </dl>
      {Object.keys(metadata).length > 0 && (
        <details>
          <summary>Metadata</summary>
          <pre class='value' tabIndex={0} role='group' aria-label='Metadata'><code>{JSON.stringify(metadata, null, 2)}</code></pre>
        </details>
      )}
    </>
  )
}
