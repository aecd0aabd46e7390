import type { LiveBreaker } from '../../schemas/live.js'
import { Badge, type Tone } from './badge.js'

const STATES: Record<LiveBreaker, readonly [Tone, string]> = {
  closed: ['good', 'closed'], 'half-open': ['warn', 'half-open: it is tried'], open: ['bad', 'open: left alone']
}

/** The state of a breaker, in words for who does not know that a closed one is the good one. */
export function BreakerBadge ({ state }: { state: LiveBreaker }) {
  const [tone, words] = STATES[state]
  return <Badge tone={tone}>{words}</Badge>
}
