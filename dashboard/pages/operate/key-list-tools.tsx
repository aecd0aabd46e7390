import { Button } from '../../parts/button.js'
import { Choice, TextField } from '../../parts/text-field.js'
import { setQuery } from '../../route.js'
import { ALL_KEYS, type KeyFilter } from './list-of-keys.js'

/** What a list of credentials is held to. */
export function KeyFilters ({ filter }: { filter: KeyFilter }) {
  return (
    <div class='toolbar' role='search'>
      <TextField label='Filter' type='search' value={filter.text} onInput={(text) => { setQuery({ text }) }} />
      <Choice label='State' value={filter.state} onInput={(state) => { setQuery({ state }) }} choices={[['', 'All'], ['live', 'Live'], ['past', 'Past']]} />
    </div>
  )
}

/** The way to the rest of a list. */
export function MoreKeys ({ hasMore, limit, onMore }: { hasMore: boolean, limit: number, onMore: () => void }) {
  if (!hasMore) return null
  if (limit >= ALL_KEYS) return <p class='quiet'>The newest {ALL_KEYS} are shown; the API lists those before.</p>
  return <p class='actions'><Button onClick={onMore}>Show older ones</Button></p>
}
