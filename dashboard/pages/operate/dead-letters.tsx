import { useState } from 'preact/hooks'
import type { DeadLetter, DeadLetterListReply } from '../../../schemas/events.js'
import { useApi, useAsk, useCaller, useDo, useEvery, useMay } from '../../context.js'
import { ago, when } from '../../format.js'
import { Button } from '../../parts/button.js'
import { Confirm } from '../../parts/confirm.js'
import { Empty } from '../../parts/empty.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { Progress } from '../../parts/progress.js'
import { Table } from '../../parts/table.js'
import { Value } from '../../parts/value.js'
import { ProblemError } from '../../problem-error.js'
import { Done } from './done.js'
import { isUnlimited } from './offered.js'

/** Milliseconds between two looks at the list. */
const LOOK = 3000
const PAGE = 1000

/** Events that a consumer has given up: why, and once more. */
export function DeadLetters () {
  const api = useApi()
  const may = useMay()
  const isForAll = isUnlimited(useCaller())
  const mayRetry = may('events:write') && isForAll
  const mayRemove = may('events:delete') && isForAll
  const { data, error, isLoading, reload } = useAsk((api, signal) => api.get<DeadLetterListReply>('/events/dead-letters', { query: { limit: PAGE }, signal }), [])
  useEvery(LOOK, () => { if (!isLoading) reload() })
  const [isAsking, setAsking] = useState(false)
  const [removing, setRemoving] = useState<DeadLetter>()
  const [progress, setProgress] = useState<{ done: number, of: number }>()
  const [said, setSaid] = useState<string>()
  const { run, busy, error: failed } = useDo()
  const letters = data?.dead_letters ?? []

  /** One that is none any more has been taken up by somebody else. */
  const retryEach = async (each: readonly DeadLetter[]): Promise<void> => {
    for (const [done, { id }] of each.entries()) {
      setProgress({ done, of: each.length })
      await api.post(`/events/dead-letters/${id}/retry`).catch((error: unknown) => { if (!(error instanceof ProblemError) || error.status !== 404) throw error })
    }
  }
  const retry = (each: readonly DeadLetter[], what: string): void => {
    setAsking(false)
    setSaid(undefined)
    void run(what, async () => {
      try {
        await retryEach(each)
        setSaid(each.length === 1 ? `${each[0]!.event.type} is tried again by ${each[0]!.consumer}.` : `${each.length} events are tried again.`)
      } finally {
        setProgress(undefined)
        reload()
      }
    })
  }
  const remove = ({ id, event, consumer }: DeadLetter): void => {
    setSaid(undefined)
    void run(`remove ${id}`, async () => {
      try {
        await api.delete(`/events/dead-letters/${id}`)
        setSaid(`${event.type} is given up for good by ${consumer}.`)
      } finally {
        setRemoving(undefined)
        reload()
      }
    })
  }
  return (
    <Panel
      title='Dead letters' busy={data === undefined && error === undefined}
      actions={mayRetry && letters.length > 1 && <Button busy={busy === 'all'} onClick={() => { setAsking(true) }}>Retry all</Button>}
    >
      {(error ?? failed) !== undefined && <Notice kind='error' error={error ?? failed} />}
      <Done said={said} more='What fails again comes back here.' />
      {busy === 'all' && progress !== undefined && <Progress label='Having them tried again' value={progress.done} max={progress.of} text={`${progress.done} of ${progress.of}`} />}
      {data !== undefined && (
        <Table
          caption='Events that were given up, the oldest first' rows={letters} rowKey={({ id }) => id}
          empty={(
            <Empty title='There are no dead letters'>
              <p>An event that a consumer could not handle in five attempts is set aside here with its error, so that others are not held up: see to the cause, and have it tried again.</p>
            </Empty>
          )}
          columns={[
            { key: 'event', title: 'Event', render: ({ event }) => <><code>{event.type}</code><div class='quiet'><code>{event.subject}</code></div></> },
            { key: 'consumer', title: 'Given up by', render: ({ consumer, attempts }) => <>{consumer}<div class='quiet'>after {attempts} {attempts === 1 ? 'attempt' : 'attempts'}</div></> },
            { key: 'error', title: 'Why', render: ({ error }) => error },
            { key: 'failed_at', title: 'When', render: ({ failed_at: at }) => <span title={when(at)}>{ago(at)}</span> },
            { key: 'more', title: 'More', render: ({ event }) => <details><summary>Details</summary><Value value={event} label={`The event ${event.id}`} /></details> },
            ...mayRetry
              ? [{ key: 'retry', title: 'Retry', render: (letter: DeadLetter) => <Button label={`Retry ${letter.event.type} for ${letter.consumer}`} busy={busy === letter.id} onClick={() => { retry([letter], letter.id) }}>Retry</Button> }]
              : [],
            ...mayRemove
              ? [{ key: 'remove', title: 'Remove', render: (letter: DeadLetter) => <Button kind='danger' label={`Remove ${letter.event.type} for ${letter.consumer}`} onClick={() => { setRemoving(letter) }}>Remove</Button> }]
              : []
          ]}
        />
      )}
      {data?.next_cursor !== undefined && <p class='quiet'>The oldest {PAGE} are shown: the others follow as these are gone.</p>}
      {removing !== undefined && (
        <Confirm
          title='Give it up for good?' confirm='Remove it' danger busy={busy === `remove ${removing.id}`} onConfirm={() => { remove(removing) }} onClose={() => { setRemoving(undefined) }}
        >
          <p><code>{removing.event.type}</code> of <code>{removing.event.subject}</code> is never given to {removing.consumer} again.</p>
        </Confirm>
      )}
      {isAsking && (
        <Confirm title={`Retry all ${letters.length}?`} confirm='Retry them' onConfirm={() => { retry(letters, 'all') }} onClose={() => { setAsking(false) }}>
          <p>Each is given to the consumer that gave it up, from the first attempt on.</p>
        </Confirm>
      )}
    </Panel>
  )
}
