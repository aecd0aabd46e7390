import { execFile } from 'node:child_process'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { olderDocument } from './older-document.js'
import { shorterDocument } from './shorter-document.js'

/** The package of the generators. */
export const CLIENTS = fileURLToPath(new URL('../../clients/', import.meta.url))
const SCHEMA = join(CLIENTS, 'typescript', 'src', 'schema.ts')

/** Runs a program to its end, for as many milliseconds at most. @throws with what it said when it fails */
export async function run (file: string, args: string[], options: { cwd?: string, env?: Record<string, string>, timeout?: number } = {}): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(file, args, {
      cwd: options.cwd ?? CLIENTS, timeout: options.timeout ?? 300_000, maxBuffer: 2 ** 26, env: { ...process.env, ...options.env }
    })
    return stdout
  } catch (error) {
    const { stdout = '', stderr = '', message } = error as Error & { stdout?: string, stderr?: string }
    throw new Error(`${file} ${args.join(' ')} failed: ${stdout || stderr ? `${stdout}\n${stderr}` : message}`, { cause: error })
  }
}

export const program = (name: string): string => join(CLIENTS, 'node_modules', '.bin', name)

/** The types of `clients/typescript`, by openapi-typescript: where they are kept, or in another file. */
export async function generateTypes (document: object, scratch: string, file = SCHEMA): Promise<void> {
  const source = written(scratch, 'shorter.json', shorterDocument(document))
  await run(program('openapi-typescript'), [source, '--output', file, '--root-types', '--root-types-no-schema-prefix', '--default-non-nullable=false'])
}

export const keptTypes = SCHEMA

/** A client by @hey-api/openapi-ts, in a folder of this name. */
export async function generateHeyApi (document: object, scratch: string, folder: string): Promise<void> {
  await run(program('openapi-ts'), ['-i', written(scratch, 'openapi.json', document), '-o', folder, '-c', '@hey-api/client-fetch', '--no-log-file'])
}

/** A client by OpenAPI Generator: the package `larder_python` in a folder of this name. It is a program in Java. */
export async function generatePython (document: object, scratch: string, folder: string): Promise<void> {
  const jar = join(CLIENTS, 'node_modules', '@openapitools', 'openapi-generator-cli', 'bin', 'openapi-generator.jar')
  await run('java', ['-jar', jar, 'generate', '-i', written(scratch, 'older.json', olderDocument(document)), '-g', 'python', '-o', folder,
    '--package-name', 'larder_python', '--global-property', 'models,apis,supportingFiles,modelTests=false,apiTests=false,modelDocs=false,apiDocs=false'])
}

/** The Python that has what the generated client imports. @throws when none has */
export async function findPython (): Promise<string> {
  const wanted = ['certifi', 'dateutil', 'six', 'urllib3']
  for (const python of ['python3', '/usr/bin/python3']) {
    const hasAll = await run(python, ['-c', `import ${wanted.join(', ')}`]).then(() => true, () => false)
    if (hasAll) return python
  }
  throw new Error(`The client in Python needs Python 3 with ${wanted.join(', ')}: on Debian, apt-get install ${wanted.map((name) => `python3-${name}`).join(' ')}.`)
}

/** Installs the generators where they are not installed yet, by their lock file. */
export async function installGenerators (): Promise<void> {
  const isThere = existsSync(join(CLIENTS, 'node_modules')) && readdirSync(join(CLIENTS, 'node_modules')).includes('openapi-typescript')
  if (!isThere) await run('npm', ['ci', '--ignore-scripts'])
  await run('java', ['-version']).catch((error: unknown) => {
    throw new Error('OpenAPI Generator needs Java 11 or newer: on Debian, apt-get install default-jre-headless.', { cause: error })
  })
}

function written (scratch: string, name: string, document: object): string {
  const file = join(scratch, name)
  writeFileSync(file, JSON.stringify(document))
  return file
}
