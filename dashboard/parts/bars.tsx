import { Empty } from './empty.js'

export interface Bar {
  label: string
  value: number
  /** The value in words. */
  text: string
}

export interface BarsProps {
  title: string
  rows: readonly Bar[]
  /** What the longest bar could be; default the greatest value. */
  most?: number
  /** Said where there are no rows. */
  empty?: string
}

/** Figures side by side. A table for those who hear it. */
export function Bars ({ title, rows, most, empty = 'Nothing to show yet.' }: BarsProps) {
  if (rows.length === 0) return <Empty title={empty} />
  const longest = Math.max(most ?? 0, ...rows.map(({ value }) => value)) || 1
  return (
    <table class='bars'>
      <caption class='unseen'>{title}</caption>
      <tbody>
        {rows.map(({ label, value, text }) => (
          <tr key={label}>
            <th scope='row'>{label}</th>
            <td class='end'>
              <span class='bar' aria-hidden='true'>{value > 0 && <span style={{ width: `${value / longest * 100}%` }} />}</span>
              {text}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
