import type { CachePreview } from '../../../schemas/cache-administration.js'
import { Badge } from '../../parts/badge.js'

const whole = new Intl.NumberFormat()

/** `2 entries`. */
export const some = (count: number): string => `${whole.format(count)} ${count === 1 ? 'entry' : 'entries'}`

/** Entries that an invalidation would hit: those that would be gone, and those that would be stale. */
export const concernedBy = ({ would_delete: gone, would_be_stale: stale = 0 }: CachePreview): number => gone + stale

/** What an invalidation would hit. */
export function Preview ({ preview }: { preview: CachePreview }) {
  const { would_delete: gone, would_be_stale: stale, is_complete: isComplete, sample } = preview
  const count = concernedBy(preview)
  if (count === 0) return <p><strong>Nothing would {stale === undefined ? 'go' : 'be stale or go'}{isComplete ? '' : ' of what could be looked at in time'}.</strong> Compare tags and pattern with what an entry shows when it is opened.</p>
  return (
    <>
      <p><strong>{isComplete ? '' : 'At least '}{stale === undefined ? `${some(count)} would go` : `${some(stale)} would be stale and ${whole.format(gone)} gone`}{count > sample.length ? `, ${sample.length} of them here:` : ':'}</strong></p>
      <ul class='explore-sample' tabIndex={0} aria-label={stale === undefined ? 'Entries that would go' : 'Entries that would be stale or go'}>
        {sample.map(({ backend, key, tags }) => (
          <li key={`${backend} ${key}`}><code><bdi>{key}</bdi></code> <Badge tone='quiet'>{backend}</Badge>{tags.map((tag) => <Badge key={tag} tone='quiet'><bdi>{tag}</bdi></Badge>)}</li>
        ))}
      </ul>
    </>
  )
}
