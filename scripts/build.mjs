// Builds dist/ from the TypeScript sources and gathers the browser assets that Larder serves itself.
// It runs before `npm start` and `npm test`, so it has to be quick: esbuild only strips the types here
// (`npm run typecheck` is what checks them). With --types, as after `npm ci`, it also writes the declarations of what the package exports.
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const dist = join(root, 'dist')
const sources = ['config', 'plugins', 'routes', 'schemas', 'services']
const assets = ['migrations', 'public']

let esbuild
try {
  esbuild = await import('esbuild')
} catch (error) {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error
  // Installed with --omit=dev: fine as long as a build came along.
  if (existsSync(join(dist, 'server.js'))) process.exit(0)
  console.error('There is no build in dist/ and esbuild is not installed: run `npm ci` (with development dependencies) and `npm run build` first.')
  process.exit(1)
}

const typescriptIn = (directory) => readdirSync(join(root, directory), { recursive: true })
  .filter((name) => name.endsWith('.ts')).map((name) => join(directory, name))

const vendor = join(root, 'public', 'vendor')
mkdirSync(vendor, { recursive: true })
// ReDoc shows its maker's logo from its maker's host: nothing is to be asked of another.
const redoc = readFileSync(createRequire(import.meta.url).resolve('redoc/bundles/redoc.standalone.js'), 'utf8')
const nothing = 'data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=='
writeFileSync(join(vendor, 'redoc.standalone.js'), redoc.replaceAll('https://cdn.redoc.ly/redoc/logo-mini.svg', nothing))

// The dashboard: a bundle for the frame and one for each page, named by what is in them, so that browsers may keep them for ever.
const dashboard = join(root, 'public', 'dashboard')
rmSync(dashboard, { recursive: true, force: true })
const { metafile } = await esbuild.build({
  absWorkingDir: root,
  entryPoints: { main: 'dashboard/main.tsx' },
  outdir: dashboard,
  entryNames: '[name]-[hash]',
  chunkNames: '[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  minify: true,
  target: 'es2022',
  tsconfig: 'dashboard/tsconfig.json',
  metafile: true
})
const [script, { cssBundle }] = Object.entries(metafile.outputs).find(([, { entryPoint }]) => entryPoint === 'dashboard/main.tsx')
const index = readFileSync(join(root, 'public', 'index.html'), 'utf8').replace('main.js', basename(script)).replace('main.css', basename(cssBundle))
for (const name of readdirSync(dashboard)) {
  const text = readFileSync(join(dashboard, name))
  writeFileSync(join(dashboard, `${name}.gz`), gzipSync(text))
  writeFileSync(join(dashboard, `${name}.br`), brotliCompressSync(text, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }))
}
writeFileSync(join(dashboard, 'index.html'), index)

// The declarations take seconds, and stay as long as there are no newer ones.
for (const name of existsSync(dist) ? readdirSync(dist) : []) if (name !== 'types') rmSync(join(dist, name), { recursive: true, force: true })
await esbuild.build({
  absWorkingDir: root,
  entryPoints: [...readdirSync(root).filter((name) => name.endsWith('.ts')), ...sources.flatMap(typescriptIn)],
  outdir: dist,
  outbase: '.',
  bundle: false,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  sourcemap: true
})
for (const directory of assets) cpSync(join(root, directory), join(dist, directory), { recursive: true })
cpSync(join(root, 'package.json'), join(dist, 'package.json'))
if (process.argv.includes('--types')) {
  rmSync(join(dist, 'types'), { recursive: true, force: true })
  const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc')
  execFileSync(process.execPath, [compiler, '--project', join(root, 'tsconfig.types.json')], { stdio: 'inherit' })
}
