import type { ComponentChildren } from 'preact'

export interface Column<Row> {
  key: string
  title: string
  /** Figures stand at the end. */
  align?: 'end'
  /** Default: the row's own field of that name as text. */
  render?: (row: Row) => ComponentChildren
}

export interface TableProps<Row> {
  /** What it is of; heard, not seen. */
  caption: string
  columns: readonly Column<Row>[]
  rows: readonly Row[]
  rowKey: (row: Row) => string
  /** Whether a row is the chosen one. */
  isCurrent?: (row: Row) => boolean
  /** In place of rows where there are none. */
  empty?: ComponentChildren
}

/** Scrolls in itself where it is wider than the page; the scroller takes the focus, so that the keyboard can move it. */
export function Table<Row extends object> ({ caption, columns, rows, rowKey, isCurrent, empty }: TableProps<Row>) {
  if (rows.length === 0 && empty !== undefined) return <>{empty}</>
  return (
    <div class='scroller' tabIndex={0} role='region' aria-label={caption}>
      <table>
        <caption class='unseen'>{caption}</caption>
        <thead><tr>{columns.map(({ key, title, align }) => <th key={key} scope='col' class={align}>{title}</th>)}</tr></thead>
        <tbody>
          {rows.map((row) => (
            <tr key={rowKey(row)} aria-current={isCurrent?.(row) === true ? 'true' : undefined}>
              {columns.map(({ key, align, render }) => <td key={key} class={align}>{render === undefined ? text((row as Record<string, unknown>)[key]) : render(row)}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function text (value: unknown): string {
  if (value === undefined || value === null) return '–'
  return typeof value === 'string' ? value : JSON.stringify(value)
}
