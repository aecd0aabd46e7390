/**
 * `npm run clients`: makes a client with each of three generators, compiles it strictly, and has it ask a running service for everything that
 * the OpenAPI document offers. `-- --types` only writes the types of `clients/typescript` anew.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startLarder } from '../servers/larder.js'
import { CLIENTS, findPython, generateHeyApi, generatePython, generateTypes, installGenerators, keptTypes, program, run } from './generate.js'
import { Recorder } from './recorder.js'

const API_KEY = 'an-administrator-for-the-clients-0123456789'
const scratch = mkdtempSync(join(tmpdir(), 'larder-clients-'))
const started = Date.now()
let failures = 0

async function step<T> (name: string, work: () => Promise<T>): Promise<T | undefined> {
  const began = Date.now()
  try {
    const result = await work()
    console.log(`ok      ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`)
    return result
  } catch (error) {
    failures++
    console.log(`FAILED  ${name}`)
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) console.log(cause.message)
    return undefined
  }
}

try {
  await installGenerators()
  const document = JSON.parse(await run(process.execPath, [fileURLToPath(new URL('../../scripts/openapi.mjs', import.meta.url))])) as object
  if (process.argv.includes('--types')) {
    await generateTypes(document, scratch)
    console.log('clients/typescript/src/schema.ts is written anew.')
  } else {
    await check(document)
    console.log(`${failures === 0 ? 'All clients work' : `${failures} steps failed`}, after ${Math.round((Date.now() - started) / 1000)} s.`)
  }
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
process.exitCode = failures === 0 ? 0 : 1

async function check (document: object): Promise<void> {
  await step('the types in the repository are those of the document', async () => {
    const file = join(scratch, 'schema.ts')
    await generateTypes(document, scratch, file)
    if (readFileSync(file, 'utf8') !== readFileSync(keptTypes, 'utf8')) throw new Error('They are of another document: run `npm run build && npm run clients -- --types`, and commit them.')
  })
  const folder = prepareProject()
  await Promise.all([
    step('@hey-api/openapi-ts makes a client', () => generateHeyApi(document, scratch, join(folder, 'src', 'hey-api'))),
    step('openapi-generator makes a client in Python', () => generatePython(document, scratch, join(folder, 'python')))
  ])
  await step('larder-client is packed and installed', () => installClient(folder))
  await step('the example, the program of its README and the clients in TypeScript compile strictly', () => run(program('tsc'), ['-p', folder]))
  const python = await step('the client in Python compiles', async () => {
    const python = await findPython()
    await run(python, ['-W', 'ignore', '-m', 'compileall', '-q', '-f', join(folder, 'python')])
    return python
  })
  if (failures === 0) await exercise(document, folder, python!)
}

/** A project of someone who uses the clients. */
function prepareProject (): string {
  const folder = join(scratch, 'project')
  mkdirSync(join(folder, 'src'), { recursive: true })
  for (const name of ['openapi-fetch.ts', 'hey-api.ts']) cpSync(join(CLIENTS, 'exercises', name), join(folder, 'src', name))
  cpSync(join(CLIENTS, 'typescript', 'example.ts'), join(folder, 'src', 'example.ts'))
  const [, readme = ''] = /```ts\n(.*?)```/s.exec(readFileSync(join(CLIENTS, 'typescript', 'README.md'), 'utf8')) ?? []
  writeFileSync(join(folder, 'src', 'readme.ts'), readme)
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'project', private: true, type: 'module' }))
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({
    extends: join(CLIENTS, 'tsconfig.json'),
    compilerOptions: { noEmit: false, rootDir: 'src', outDir: 'out', typeRoots: [join(CLIENTS, 'node_modules', '@types')] },
    include: ['src']
  }))
  return folder
}

async function installClient (folder: string): Promise<void> {
  const source = join(CLIENTS, 'typescript')
  await run(program('tsc'), ['-p', source])
  const [packed] = JSON.parse(await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', scratch], { cwd: source })) as { filename: string }[]
  await run('npm', ['install', '--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund', join(scratch, packed!.filename)], { cwd: folder })
}

async function exercise (document: object, folder: string, python: string): Promise<void> {
  const service = await startLarder({
    CACHE_AUTH_ENABLED: 'true',
    CACHE_API_KEY: API_KEY,
    SECRET_KEY: 'a-secret-for-the-clients-that-is-long-enough',
    VALET_ALGORITHM: 'EdDSA',
    WEBHOOK_HOSTS: 'hooks.example.com',
    CACHE_ACCESS_LOG_ENABLED: 'false',
    LOG_LEVEL: 'warn'
  })
  const recorder = await Recorder.listen(document, service.url)
  try {
    const env = { LARDER_URL: recorder.url, LARDER_API_KEY: API_KEY }
    await step('the example runs', () => run(process.execPath, [join(folder, 'out', 'example.js')], { env, timeout: 60_000 }))
    recorder.report()
    const clients: [name: string, file: string, args: string[], env?: Record<string, string>][] = [
      ['openapi-fetch', process.execPath, [join(folder, 'out', 'openapi-fetch.js')]],
      ['hey-api', process.execPath, [join(folder, 'out', 'hey-api.js')]],
      ['python', python, [join(CLIENTS, 'exercises', 'openapi_generator.py')], { PYTHONPATH: join(folder, 'python'), PYTHONDONTWRITEBYTECODE: '1' }]
    ]
    for (const [name, file, args, more] of clients) {
      await step(`${name} asks for everything`, async () => {
        await run(file, args, { env: { ...env, ...more }, timeout: 60_000 })
        const { asked, missing, chapters, faults } = recorder.report()
        console.log(`        ${asked} of ${asked + missing.length} operations${missing.length === 0 ? '' : `; not ${missing.map(({ operationId }) => operationId).join(', ')}`}`)
        if (faults.length > 0) throw new Error(faults.join('\n'))
        if (chapters.length > 0) throw new Error(`No operation of ${chapters.join(', ')} was asked: add one to clients/exercises/.`)
      })
    }
  } finally {
    await recorder.close()
    await service.dispose()
  }
}
