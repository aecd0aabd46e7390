import type { RowChange } from './disk.js'
import type { Removed } from './entry-index.js'
import { ofKind, rowKey } from './row-keys.js'

/** What takes an entry's rows out of the store. */
export function rowsOf ({ namespace, key, apart, amended }: Removed): RowChange[] {
  const entry = rowKey('e', namespace, key)
  const changes: RowChange[] = [{ type: 'del', key: entry }]
  if (apart) changes.push({ type: 'del', key: ofKind('v', entry) })
  if (amended) changes.push({ type: 'del', key: ofKind('a', entry) })
  return changes
}
