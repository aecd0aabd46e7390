import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { type Browser, chromium, type Page } from 'playwright-core'
import type { Owner } from './servers.js'

/** Where Debian and others put it; `CHROMIUM` names another. */
const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
/** No sandbox: a container's root has none to give. The others keep it from asking anybody by itself. */
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
/** Where screenshots are kept, for whoever wants to see what the tests saw. */
const SCREENSHOTS = fileURLToPath(new URL('../../screenshots/', import.meta.url))

/** A page, with what must not happen on it. */
export interface WatchedPage {
  page: Page
  /** Errors and warnings of its console, exceptions, and requests to other hosts, one line each. */
  faults: string[]
}

/** A browser of its own, closed with its owner. @throws when there is none, with what to do */
export async function openBrowser (owner: Owner): Promise<Browser> {
  const path = [process.env['CHROMIUM'], ...PLACES].find((path) => path !== undefined && existsSync(path))
  if (path === undefined) throw new Error('There is no Chromium here: run `apt-get install chromium`, or name one in CHROMIUM.')
  const browser = await chromium.launch({ executablePath: path, args: FLAGS })
  owner.teardown(async () => { await browser.close() })
  return browser
}

/** @param url of the service: nobody else may be asked */
export async function watchedPage (browser: Browser, url: string): Promise<WatchedPage> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
  const faults: string[] = []
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) faults.push(`${message.type()}: ${message.text()}`) })
  page.on('pageerror', (error) => { faults.push(`exception: ${error.message}`) })
  page.on('request', (request) => {
    if (!request.url().startsWith(url) && !/^(?:data|blob):/.test(request.url())) faults.push(`request to ${request.url()}`)
  })
  return { page, faults }
}

/** What axe finds against WCAG 2.2 A and AA and its best practices, one line each: rule, what it is, and where. */
export async function violations (page: Page): Promise<string[]> {
  // As an expression, since a script element would be against the page's policy.
  await page.evaluate(axe)
  return await page.evaluate<string[]>(`axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })
    .then(({ violations }) => violations.map(({ id, help, nodes }) => id + ': ' + help + ' at ' + nodes.map(({ target }) => target.join(' ')).join(', ')))`)
}

/** Keeps a picture of the whole page as `screenshots/<name>.png`. */
export async function shot (page: Page, name: string): Promise<void> {
  mkdirSync(SCREENSHOTS, { recursive: true })
  await page.screenshot({ path: `${SCREENSHOTS}${name}.png`, fullPage: true })
}

/** Widths that a page has to stand, in pixels: the narrowest telephone, and a desk. */
export const WIDTHS = [360, 1920] as const

/**
 * Looks at the page as it is in light and dark, narrow and wide, keeps a picture of each, and answers what is wrong: what axe finds,
 * and whether it has to be moved sideways.
 */
export async function inspect (page: Page, name: string): Promise<string[]> {
  const found: string[] = []
  const before = page.viewportSize()
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: width === 360 ? 740 : 1080 })
      const overflow = await page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth')
      if (overflow > 0) found.push(`${name} ${width} ${colorScheme}: ${overflow} px too wide`)
      found.push(...(await violations(page)).map((violation) => `${name} ${width} ${colorScheme}: ${violation}`))
      await shot(page, `${name}-${width}-${colorScheme}`)
    }
  }
  if (before !== null) await page.setViewportSize(before)
  return found
}
