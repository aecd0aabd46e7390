import { existsSync } from 'node:fs'
import { type Browser, chromium, type Page } from 'playwright-core'
import type { Owner } from './servers.js'

/** Where Debian and others put it; `CHROMIUM` names another. */
const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
/** No sandbox: a container's root has none to give. The others keep it from asking anybody by itself. */
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

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
