import { useCallback, useRef, useState } from 'preact/hooks'
import type { LiveSample } from '../../../schemas/live.js'
import { useCaller, useMay, useStream } from '../../context.js'
import type { StreamState } from '../../event-stream.js'
import { timeOfDay } from '../../format.js'
import { Button } from '../../parts/button.js'
import { Copy } from '../../parts/copy.js'
import { Empty } from '../../parts/empty.js'
import { Notice } from '../../parts/notice.js'
import { ProblemError } from '../../problem-error.js'
import { setQuery, useRoute } from '../../route.js'
import { Backends, Parts } from './backends.js'
import { Charts } from './charts.js'
import { Figures } from './figures.js'
import { History, type Moment } from './history.js'
import { Usage } from './usage.js'

const STATES: Record<StreamState, string> = {
  connecting: 'Connecting…', open: 'Live: a new value every second.', waiting: 'The connection was lost. It is tried again in a moment.', refused: 'There are no live values.'
}

/** How the service does, second by second, and what it is used for. */
export default function Live () {
  const may = useMay()
  const { query } = useRoute()
  const [moments, setMoments] = useState<readonly Moment[]>([])
  const [pausedAt, setPausedAt] = useState<string>()
  const history = useRef(new History())
  const isPaused = pausedAt !== undefined
  const mayWatch = may('metrics:read')
  const { state, error } = useStream(mayWatch ? '/metrics/live' : undefined, ({ event, data }) => {
    if (event !== 'sample') return
    history.current.add(data as LiveSample)
    if (!isPaused) setMoments(history.current.moments)
  })
  const pause = useCallback(() => { setPausedAt(new Date().toISOString()) }, [])
  const resume = useCallback(() => {
    setPausedAt(undefined)
    setMoments(history.current.moments)
  }, [])

  const sample = moments.at(-1)?.sample
  const names = sample?.backends.map(({ name }) => name) ?? []
  const chosen = names.find((name) => name === query['backend']) ?? query['backend'] ?? names[0]
  return (
    <>
      <div class='live-head'>
        <h1>Live</h1>
        {mayWatch && <p role='status'>{pausedAt === undefined ? STATES[state] : `Paused at ${timeOfDay(pausedAt)}. What happens meanwhile is shown when you go on.`}</p>}
        <div class='actions'>
          {names.length > 1 && chosen !== undefined && <BackendChoice names={names} chosen={chosen} />}
          {mayWatch && state !== 'refused' && (isPaused ? <Button kind='primary' onClick={resume}>Go on</Button> : <Button onClick={pause}>Pause</Button>)}
        </div>
      </div>
      {!mayWatch && <Notice kind='info'><p>Your credential may not read metrics, so that nothing is drawn over time: sign in with one that holds <code>metrics:read</code>.</p></Notice>}
      {state === 'refused' && <Refused error={error} />}
      {mayWatch && state !== 'refused' && sample === undefined && <p class='quiet'>The first values come within a second or two.</p>}
      {sample !== undefined && chosen !== undefined && (
        <>
          {moments.every((moment) => isSilent(moment)) && <FirstSteps />}
          <Figures sample={sample} backend={sample.backends.find(({ name }) => name === chosen)} />
          <Charts moments={moments} backend={chosen} />
          <div class='panels below'>
            <Backends sample={sample} />
            <Parts sample={sample} />
          </div>
        </>
      )}
      {may('cache:read') && (!mayWatch || chosen !== undefined || state === 'refused') && chosen !== 'app' && <Usage backend={chosen} isPaused={isPaused} />}
      {chosen === 'app' && <p class='quiet'>What the service’s own cache is used for is not kept: choose a backend of the cache API to see hot keys and sizes.</p>}
    </>
  )
}

function BackendChoice ({ names, chosen }: { names: readonly string[], chosen: string }) {
  return (
    <label class='choice'>
      Backend
      <select value={chosen} onChange={(event) => { setQuery({ backend: event.currentTarget.value }) }}>
        {names.map((name) => <option key={name} value={name}>{name === 'app' ? 'app (the service’s own)' : name}</option>)}
      </select>
    </label>
  )
}

function Refused ({ error }: { error: Error | undefined }) {
  if (error instanceof ProblemError && error.status === 404) {
    return <Notice kind='info'><p>Nothing is counted here, so that there is nothing to draw: set <code>CACHE_METRICS_ENABLED=true</code> and start the service again.</p></Notice>
  }
  return <Notice kind='error' error={error} />
}

function isSilent ({ sample }: Moment): boolean {
  return sample === undefined || sample.cache.hits_per_second + sample.cache.misses_per_second === 0
}

/** Where nothing was asked in all the time that is shown. */
function FirstSteps () {
  const { kind } = useCaller()
  const credential = kind === 'local' ? '' : ' -H "x-api-key: $LARDER_KEY"'
  return (
    <div class='first-steps'>
      <Empty title='Nothing was asked in the last minutes.'>
        <p>Store something and read it, and the lines begin to move:</p>
        <Copy
          label='Commands that store and read a value'
          text={`curl ${location.origin}/api/cache/set${credential} -H 'content-type: application/json' -d '{"key":"user:1","value":{"name":"Alice"},"ttl":60}'\ncurl ${location.origin}/api/cache/get/user:1${credential}`}
        />
      </Empty>
    </div>
  )
}
