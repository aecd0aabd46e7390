import { Badge } from '../../parts/badge.js'
import type { Setting } from '../../../schemas/settings.js'

const TONES = { default: 'quiet', environment: 'warn', store: 'good', namespace: 'good' } as const

/** What gives a value. */
export function SourceBadge ({ source }: { source: Setting['source'] }) {
  return <Badge tone={TONES[source]}>{source}</Badge>
}
