import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { databaseUrl } from './support/servers.js'

const COLLECTOR = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' }

/** Prints which modules of OpenTelemetry are loaded once a request has been answered, but for the empty interface that prom-client brings. */
const loading = `
  import { createRequire } from 'node:module'
  import { buildApp } from './dist/app.js'
  import { loadConfig } from './dist/config.js'
  const app = await buildApp(loadConfig())
  await app.inject('/products')
  console.log(JSON.stringify(Object.keys(createRequire(import.meta.url).cache).filter((path) => /@opentelemetry.(?!api\\b)|@fastify.otel|in-the-middle/.test(path))))
  process.exit()
`
/** Finds one package no more. */
const missing = `data:text/javascript,${encodeURIComponent(`
  import { register } from 'node:module'
  register('data:text/javascript,' + encodeURIComponent(\`export async function resolve (name, context, next) {
    if (name !== '@opentelemetry/exporter-trace-otlp-http') return await next(name, context)
    throw Object.assign(new Error("Cannot find package '" + name + "' imported from somewhere"), { code: 'ERR_MODULE_NOT_FOUND' })
  }\`))
`)}`

async function run (args: string[], env: Record<string, string>): Promise<{ code: number | null, out: string, err: string }> {
  const child = spawn(process.execPath, args, { env: { PATH: process.env['PATH'], LOG_LEVEL: 'silent', ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => { child.kill('SIGKILL') })
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close') as Promise<[number | null]>])
  return { code, out, err }
}

t.test('nothing of OpenTelemetry is loaded unless there is a collector', async (t) => {
  const base = { DATABASE_URL: await databaseUrl(t) }
  const loaded = async (env: Record<string, string>): Promise<string[]> => {
    const { out, err } = await run(['--input-type=module', '-e', loading], { ...base, ...env })
    t.equal(err, '')
    return JSON.parse(out) as string[]
  }
  t.same(await loaded({}), [])
  t.ok((await loaded(COLLECTOR)).length > 50)
})

t.test('without the packages the start is refused in one line that says what to install', async (t) => {
  const { code, out, err } = await run(['--import', missing, 'dist/server.js'], COLLECTOR)
  t.equal(code, 1)
  t.equal(out, '')
  t.match(err, /^larder: OTEL_EXPORTER_OTLP_ENDPOINT needs @opentelemetry\/exporter-trace-otlp-http, which is not installed: install [^\n]*\n$/)
})
