import { Empty } from './empty.js'

export interface Bar {
  label: string
  value: number
  /** The value in words. */
  text: string
}

/** Figures side by side. A table for those who hear it. */
export function Bars ({ title, rows, empty = 'Nothing to show yet.' }: { title: string, rows: readonly Bar[], empty?: string }) {
  if (rows.length === 0) return <Empty title={empty} />
  const most = Math.max(...rows.map(({ value }) => value), Number.MIN_VALUE)
  return (
    <table class='bars'>
      <caption class='unseen'>{title}</caption>
      <tbody>
        {rows.map(({ label, value, text }) => (
          <tr key={label}>
            <th scope='row' title={label}>{label}</th>
            <td class='bar' aria-hidden='true'><span style={{ width: `${(value / most) * 100}%` }} /></td>
            <td class='end'>{text}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
