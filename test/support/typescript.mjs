// Lets tests run TypeScript: esbuild strips the types, and `./name.js` finds name.ts. tap's own loader does the same through
// TypeScript itself; it still applies where this file is not asked for. Loading the whole application took it 2.9 s of
// processor time in every test file, where this takes 1.7 s, and 1 s once it has been done: what came out is kept in .tap/, by what
// went in. With coverage on, go back to tap's loader: it maps lines better.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync } from 'node:fs'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { createRequire, register } from 'node:module'
import { fileURLToPath } from 'node:url'
import { isMainThread, threadId } from 'node:worker_threads'

// Hooks run in a thread of their own, in which this file is loaded once more.
if (isMainThread) register(import.meta.url)

export async function resolve (specifier, context, next) {
  if (specifier.startsWith('.') && specifier.endsWith('.js') && context.parentURL?.endsWith('.ts')) {
    const source = new URL(`${specifier.slice(0, -3)}.ts`, context.parentURL)
    if (existsSync(source)) return next(source.href, context)
  }
  return next(specifier, context)
}

const kept = fileURLToPath(new URL('../../.tap/typescript/', import.meta.url))
const { version } = createRequire(import.meta.url)('esbuild/package.json')

export async function load (url, context, next) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context)
  const file = fileURLToPath(url)
  const text = await readFile(file, 'utf8')
  // The map in it names the file.
  const name = kept + createHash('sha256').update(`${version}\n${file}\n${text}`).digest('hex')
  const source = await readFile(name, 'utf8').catch(() => undefined) ?? await transformed(file, text, name)
  return { format: 'module', source, shortCircuit: true }
}

async function transformed (file, text, name) {
  const { transform } = await import('esbuild')
  const { code } = await transform(text, { loader: 'ts', format: 'esm', target: 'node20', sourcefile: file, sourcemap: 'inline', sourcesContent: false })
  mkdirSync(kept, { recursive: true })
  // Whole or not at all: others read it.
  const part = `${name}.${process.pid}.${threadId}`
  await writeFile(part, code)
  await rename(part, name)
  return code
}
