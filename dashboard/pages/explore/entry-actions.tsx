import { useState } from 'preact/hooks'
import type { CacheItem } from '../../../schemas/cache.js'
import { useApi, useDo } from '../../context.js'
import { Button } from '../../parts/button.js'
import { Field } from '../../parts/field.js'
import { Notice } from '../../parts/notice.js'
import { incrementEntry, touchEntry } from './entries.js'
import { faultOf, numberOf, ttlOf } from './entry-form.js'
import type { Place } from './place.js'

export interface EntryActionsProps {
  place: Place
  item: CacheItem
  /** @param what in words */
  onChanged: (what: string) => void
}

const BY = 'Write how much is to be added, such as 1 or -0.5.'
const GONE = 'The entry is not there any more: it was deleted or has expired.'

/** What can be changed of an entry without storing it anew: its TTL, and a counter. */
export function EntryActions ({ place, item: { key, data_type: type }, onChanged }: EntryActionsProps) {
  const api = useApi()
  const touching = useDo()
  const [ttl, setTtl] = useState('3600')
  const [ttlFault, setTtlFault] = useState<string>()
  const counting = useDo()
  const [by, setBy] = useState('1')
  const [byFault, setByFault] = useState<string>()

  const touch = (event: Event): void => {
    event.preventDefault()
    const fault = ttl.trim() === '' ? 'Write seconds: 0 for an entry that never expires.' : faultOf(() => ttlOf(ttl))
    setTtlFault(fault)
    if (fault !== undefined) return
    void touching.run('Touched', async () => {
      const isThere = await touchEntry(api, place, key, Number(ttl))
      onChanged(isThere ? 'The TTL is set.' : GONE)
    })
  }
  const increment = (event: Event): void => {
    event.preventDefault()
    const fault = faultOf(() => numberOf(by, BY))
    setByFault(fault)
    if (fault !== undefined) return
    void counting.run('Added', async () => { onChanged(`The counter is ${await incrementEntry(api, place, key, Number(by))}.`) })
  }
  return (
    <div class='explore-columns'>
      <form class='explore-inline' onSubmit={touch} noValidate>
        <Field label='TTL from now, in seconds' error={ttlFault}>
          {(id, describedBy) => <input id={id} inputMode='decimal' aria-describedby={describedBy} value={ttl} autoComplete='off' onInput={(event) => { setTtl(event.currentTarget.value) }} />}
        </Field>
        <Button type='submit' busy={touching.busy !== undefined}>Touch</Button>
        {touching.error !== undefined && <Notice kind='error' error={touching.error} />}
      </form>
      {type === 'number' && (
        <form class='explore-inline' onSubmit={increment} noValidate>
          <Field label='Add to the number' error={byFault}>
            {(id, describedBy) => <input id={id} inputMode='decimal' aria-describedby={describedBy} value={by} autoComplete='off' onInput={(event) => { setBy(event.currentTarget.value) }} />}
          </Field>
          <Button type='submit' busy={counting.busy !== undefined}>Increment</Button>
          {counting.error !== undefined && <Notice kind='error' error={counting.error} />}
        </form>
      )}
    </div>
  )
}
