// Writes what is made from the settings' schema: the README's table between its markers, and .env.example.
import { readFileSync, writeFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { Environment, type Setting } from '../schemas/config.js'

const BEGIN = '<!-- configuration: made by `npm run readme` -->'
const END = '<!-- /configuration -->'

const settings = Object.entries(Environment.properties) as unknown as [string, Setting][]
const groups = [...new Set(settings.map(([, { group }]) => group))]
/** What has a value that works. */
const usable = (schema: Setting) => schema.built?.length !== 0
const refused = settings.filter(([, schema]) => !usable(schema)).map(([name]) => `\`${name}\``)

/** The README with its table brought up to date. */
export function withTable (readme: string): string {
  const [from, to] = [readme.indexOf(BEGIN), readme.indexOf(END)]
  if (from === -1 || to < from) throw new Error(`README.md has lost its markers ${BEGIN} and ${END}`)
  return `${readme.slice(0, from + BEGIN.length)}\n\n${tables()}\n\n${readme.slice(to)}`
}

/** .env.example: every setting that can be given, commented out, with its default or an example. */
export function envExample (): string {
  const parts = groups.map((group) => [`# ${group}`, ...settings.filter(([, schema]) => schema.group === group && usable(schema))
    .flatMap(([name, schema]) => [`# ${plain(schema.description)}`, `#${name}=${sample(schema)}`])].join('\n'))
  return `# Copy to .env and take the # off what you change. A variable of the real environment wins over this file.\n\n${parts.join('\n\n')}\n`
}

function tables (): string {
  const parts = groups.map((group) => {
    const rows = settings.filter(([, schema]) => schema.group === group && usable(schema)).map(([name, schema]) =>
      `| \`${name}\` | ${schema.default === undefined ? '' : `\`${String(schema.default)}\``} | ${[schema.description, takes(schema)].filter(Boolean).join(' ')} |`)
    return rows.length === 0 ? [] : [`**${group}**`, '', '| setting | default | |', '|---|---|---|', ...rows, '']
  })
  return [...parts.flat(), ...refused.length === 0 ? [] : [`Refused until what they are for is built: ${refused.join(', ')}.`]].join('\n').trimEnd()
}

function takes (schema: Setting): string {
  const soFar = schema.built === undefined ? '' : ' so far'
  const words = schema.built ?? ((schema['anyOf'] ?? []) as { const: string }[]).map((word) => word.const)
  if (words.length === 1) return `Only \`${String(words[0])}\`${soFar}.`
  if (words.length > 1) return `One of ${words.map((word) => `\`${String(word)}\``).join(', ')}${soFar}.`
  return schema.default === undefined && schema['examples'] ? `Such as \`${String((schema['examples'] as string[])[0])}\`.` : ''
}

function sample (schema: Setting): string {
  return String(schema.default ?? (schema['examples'] as string[] | undefined)?.[0] ?? '')
}

function plain (text: string): string {
  return text.replaceAll('`', '')
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  writeFileSync('README.md', withTable(readFileSync('README.md', 'utf8')))
  writeFileSync('.env.example', envExample())
}
