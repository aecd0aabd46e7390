/**
 * Compares the OpenAPI document of the build in dist/ with the one of the last release, `clients/baseline.json`: a change that breaks callers
 * has to stand in CHANGELOG.md. With --update the document of now takes that one's place, if nothing is left unsaid.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { breakingChanges } from './breaking-changes.js'
import { unannounced } from './changelog.js'
import { contractOf, type Document } from './document.js'

const baseline = fileURLToPath(new URL('../../clients/baseline.json', import.meta.url))
const writer = fileURLToPath(new URL('../../scripts/openapi.mjs', import.meta.url))
const now = contractOf(JSON.parse(execFileSync(process.execPath, [writer], { encoding: 'utf8', maxBuffer: 2 ** 26 })) as object)
const before = JSON.parse(readFileSync(baseline, 'utf8')) as Document
const changes = breakingChanges(before, now)
const unsaid = unannounced(changes, readFileSync(new URL('../../CHANGELOG.md', import.meta.url), 'utf8'))

for (const change of changes) console.log(`${unsaid.includes(change) ? 'not announced' : 'announced'}: ${change.text}`)
if (unsaid.length > 0) {
  const names = [...new Set(unsaid.map(({ subject }) => subject))]
  console.error(`These changes break callers. Undo them, or say so in CHANGELOG.md, under the unreleased version: a line with **Breaking** that names ${names.join(', ')}.`)
  process.exitCode = 1
} else if (process.argv.includes('--update')) {
  writeFileSync(baseline, `${JSON.stringify(now, null, 1)}\n`)
  console.log(`clients/baseline.json is the document of ${now.info.version}.`)
} else {
  console.log(changes.length === 0 ? 'Nothing that callers depend on has changed.' : 'All of it is announced.')
}
