import { styleText } from 'node:util'

type Style = 'bold' | 'dim' | 'green' | 'red' | 'cyan'

const WIDTH = 100
/** Only for people: a file or a pipe gets plain text, and so does who asks for it (https://no-color.org). */
const isColourful = process.stdout.isTTY && !process.env['NO_COLOR']

/** The text, in colour where somebody sees it. */
export function styled (style: Style, text: string): string {
  return isColourful ? styleText(style, text) : text
}

/** Prints one line, or several. */
export function print (text = ''): void {
  process.stdout.write(`${text}\n`)
}

/** Breaks a text into lines that begin with `indent`. */
export function wrapped (text: string, indent: string): string {
  const lines = ['']
  for (const word of text.split(/\s+/)) {
    const line = lines.at(-1)!
    if (line !== '' && indent.length + line.length + 1 + word.length > WIDTH) lines.push(word)
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
  }
  return lines.map((line) => indent + line).join('\n')
}

/** One line of at most so many characters, with a mark where something was left out. */
export function shortened (text: string, length: number): string {
  const line = text.replace(/\s+/g, ' ').trim()
  return line.length <= length ? line : `${line.slice(0, length - 1)}…`
}

/** Columns that line up; the first is text, the others stand on the right. */
export function table (rows: readonly (readonly string[])[], indent = '  '): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) => indent + row.map((cell, column) => column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)).join('   ')).join('\n')
}
