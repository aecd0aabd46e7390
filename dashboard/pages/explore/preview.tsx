import type { CachePreview } from '../../../schemas/cache-administration.js'
import { Badge } from '../../parts/badge.js'

const whole = new Intl.NumberFormat()

/** `2 entries`. */
export const some = (count: number): string => `${whole.format(count)} ${count === 1 ? 'entry' : 'entries'}`

/** What an invalidation would hit. */
export function Preview ({ preview: { would_delete: count, is_complete: isComplete, sample } }: { preview: CachePreview }) {
  if (count === 0) return <p><strong>Nothing would go{isComplete ? '' : ' of what could be looked at in time'}.</strong> Compare tags and pattern with what an entry shows when it is opened.</p>
  return (
    <>
      <p><strong>{isComplete ? '' : 'At least '}{some(count)} would go{count > sample.length ? `, ${sample.length} of them here:` : ':'}</strong></p>
      <ul class='explore-sample' tabIndex={0} aria-label='Entries that would go'>
        {sample.map(({ backend, key, tags }) => (
          <li key={`${backend} ${key}`}><code><bdi>{key}</bdi></code> <Badge tone='quiet'>{backend}</Badge>{tags.map((tag) => <Badge key={tag} tone='quiet'><bdi>{tag}</bdi></Badge>)}</li>
        ))}
      </ul>
    </>
  )
}
