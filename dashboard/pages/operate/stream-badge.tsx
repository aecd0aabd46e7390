import type { StreamState } from '../../event-stream.js'
import { Badge, type Tone } from '../../parts/badge.js'

const WORDS: Record<StreamState, [Tone, string]> = {
  connecting: ['quiet', 'connecting'], open: ['good', 'live'], waiting: ['warn', 'cut off, coming back'], refused: ['bad', 'not live']
}

/** Whether what is shown follows what happens. */
export function StreamBadge ({ state, error }: { state: StreamState, error: Error | undefined }) {
  const [tone, words] = WORDS[state]
  return <span role='status' title={error?.message}><Badge tone={tone}>{words}</Badge></span>
}
