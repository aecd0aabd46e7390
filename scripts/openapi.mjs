// Writes the OpenAPI document of the build in dist/ to standard output, or to the file given: YAML where its name says so.
// The application is composed but never listens; its embedded database lives in a folder of its own for that moment.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildApp } from '../dist/app.js'
import { loadConfig } from '../dist/config.js'

const [file] = process.argv.slice(2)
const folder = mkdtempSync(join(tmpdir(), 'larder-openapi-'))
try {
  const app = await buildApp(loadConfig({ DATA_DIR: folder }), { logger: false })
  try {
    await app.ready()
    const text = /\.ya?ml$/.test(file ?? '') ? app.swagger({ yaml: true }) : `${JSON.stringify(app.swagger(), null, 2)}\n`
    if (file === undefined) process.stdout.write(text)
    else writeFileSync(file, text)
  } finally {
    await app.close()
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
