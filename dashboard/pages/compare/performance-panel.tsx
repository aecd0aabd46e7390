import { useEffect, useRef, useState } from 'preact/hooks'
import type { CachePerformance } from '../../../schemas/cache-aside.js'
import { useApi } from '../../context.js'
import { duration, percent } from '../../format.js'
import { Button } from '../../parts/button.js'
import { Empty } from '../../parts/empty.js'
import { Field } from '../../parts/field.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { Progress } from '../../parts/progress.js'
import { Stat } from '../../parts/stat.js'
import { compared, verdict, type Round } from './rounds.js'
import { RoundsFigure } from './rounds-figure.js'

/** Each round is several reads in the service, and counts as ten requests against the rate limit. */
const MOST = 100

interface Run {
  wanted: number
  rounds: readonly Round[]
  state: 'running' | 'done' | 'cancelled' | 'failed'
  error?: Error
}

/** Reads the product list from the database and from the cache in turn, as often as is wished. @param onMeasured once for each run */
export function PerformancePanel ({ onMeasured }: { onMeasured: () => void }) {
  const api = useApi()
  const [text, setText] = useState('10')
  const [fault, setFault] = useState<string>()
  const [run, setRun] = useState<Run>()
  const end = useRef<AbortController | undefined>(undefined)
  const isRunning = run?.state === 'running'
  useEffect(() => () => { end.current?.abort() }, [])

  const measure = async (wanted: number): Promise<void> => {
    const { signal } = end.current = new AbortController()
    const rounds: Round[] = []
    const show = (state: Run['state'], error?: Error): void => { setRun({ wanted, rounds: [...rounds], state, ...error && { error } }) }
    show('running')
    try {
      while (rounds.length < wanted) {
        const measured = await api.get<CachePerformance>('/cache/performance', { signal })
        rounds.push({ database: measured.database_response_time, cache: measured.cached_response_time })
        show('running')
      }
      show('done')
    } catch (error) {
      show(signal.aborted ? 'cancelled' : 'failed', signal.aborted ? undefined : error as Error)
    }
    onMeasured()
  }
  const start = (event: Event): void => {
    event.preventDefault()
    if (isRunning) return
    const isFine = /^\d+$/.test(text.trim()) && Number(text) >= 1 && Number(text) <= MOST
    setFault(isFine ? undefined : `must be a whole number from 1 to ${MOST}`)
    if (isFine) void measure(Number(text))
  }
  return (
    <Panel title='Performance test' busy={isRunning}>
      <form class='toolbar' noValidate onSubmit={start}>
        <Field label='Rounds' error={fault}>
          {(id, describedBy) => (
            <input
              id={id} aria-describedby={describedBy} aria-invalid={fault === undefined ? undefined : true} type='text' inputMode='numeric' autocomplete='off'
              value={text} onInput={(event) => { setText(event.currentTarget.value) }}
            />
          )}
        </Field>
        <Button type='submit' kind='primary' busy={isRunning}>Run the performance test</Button>
        {isRunning && <Button onClick={() => { end.current?.abort() }}>Cancel</Button>}
      </form>
      {run === undefined && <Empty title='Nothing is measured yet.'><p>Each round has the service read the product list nine times from the database and nine times from the cache, and answer the medians.</p></Empty>}
      {run !== undefined && <Outcome {...run} />}
    </Panel>
  )
}

function Outcome ({ wanted, rounds, state, error }: Run) {
  const isRunning = state === 'running'
  const figures = rounds.length === 0 ? undefined : compared(rounds)
  return (
    <>
      {isRunning && <Progress label='Measuring' value={rounds.length} max={wanted} text={`${rounds.length} of ${wanted} rounds`} />}
      {error !== undefined && <Notice kind='error' error={error} />}
      {figures !== undefined && (
        <>
          <dl class='stats'>
            <Stat label='Database' value={duration(figures.database)} hint='median' />
            <Stat label='Cache' value={duration(figures.cache)} hint='median' tone='good' />
            <Stat label='Improvement' value={percent(figures.improvement)} tone={figures.improvement < 0 ? 'bad' : 'good'} />
          </dl>
          <RoundsFigure rounds={rounds} />
        </>
      )}
      <p role='status' class='outcome'>{isRunning ? '' : `${state === 'cancelled' ? 'Cancelled. ' : ''}${figures === undefined ? 'No round was finished.' : verdict(rounds)}`}</p>
    </>
  )
}
