import type { ComponentType } from 'preact'
import { useCallback, useEffect, useErrorBoundary, useMemo, useState } from 'preact/hooks'
import { Api } from './api.js'
import { SessionContext, type Session } from './context.js'
import { keepCredential, keptCredential, type Caller } from './credential.js'
import { PAGES, type Page } from './pages.js'
import { Button } from './parts/button.js'
import { Notice } from './parts/notice.js'
import { hashOf, useRoute } from './route.js'
import { SignIn } from './sign-in.js'
import { ThemeChoice } from './theme.js'

/** The frame around every page: where one is, who one is, and what there is to see for them. */
export function App () {
  const { session, error, signIn, signOut } = useSignedIn()
  const [isSigningIn, setSigningIn] = useState(false)
  const { page: wanted } = useRoute()
  const pages = session === undefined ? [] : PAGES.filter(({ needs }) => needs.some((permission) => session.caller.permissions.includes(permission)))
  const page = pages.find(({ id }) => id === wanted) ?? (wanted === '' ? pages[0] : undefined)
  useEffect(() => { document.title = page === undefined ? 'Larder' : `${page.title} · Larder` }, [page])
  const open = useCallback(() => { setSigningIn(true) }, [])

  return (
    <>
      <a class='skip' href='#main' onClick={toMain}>Skip to the content</a>
      <header class='shell'>
        <a class='brand' href='#/'><img src='/assets/icon.svg' alt='' width='24' height='24' /> Larder</a>
        <nav aria-label='Pages'>
          {pages.map(({ id, title }) => <a key={id} href={hashOf(id)} aria-current={id === page?.id ? 'page' : undefined}>{title}</a>)}
          <a href='/docs'>API</a>
        </nav>
        <div class='who'>
          <ThemeChoice />
          {session !== undefined && <Who caller={session.caller} onSignIn={open} onSignOut={signOut} />}
        </div>
      </header>
      <main id='main' tabIndex={-1}>
        {error !== undefined && <Notice kind='error' error={error} />}
        {session !== undefined && (
          <SessionContext.Provider value={session}>
            {page === undefined ? <Nothing caller={session.caller} hasPages={pages.length > 0} onSignIn={open} /> : <Outlet key={page.id} page={page} />}
          </SessionContext.Provider>
        )}
      </main>
      {isSigningIn && <SignIn onSignIn={signIn} onClose={() => { setSigningIn(false) }} />}
    </>
  )
}

function toMain (event: Event): void {
  event.preventDefault()
  document.getElementById('main')?.focus()
}

/** Milliseconds between two questions who one is, while the service cannot say. */
const AGAIN = 3000

function useSignedIn () {
  const [credential, setCredential] = useState(keptCredential)
  const [session, setSession] = useState<Session>()
  const [error, setError] = useState<Error>()
  const api = useMemo(() => new Api(credential), [credential])

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const end = new AbortController()
    const ask = (): void => {
      api.get<Caller>('/authz/whoami', { signal: end.signal }).then((caller) => {
        setSession({ api, caller })
        setError(undefined)
      }, (failure: Error & { status?: number }) => {
        if (end.signal.aborted) return
        setError(failure)
        if (failure.status === 401) {
          keepCredential(undefined)
          setCredential(undefined)
        } else {
          timer = setTimeout(ask, AGAIN)
        }
      })
    }
    ask()
    return () => {
      end.abort()
      clearTimeout(timer)
    }
  }, [api])

  /** @throws ProblemError when it is none */
  const signIn = useCallback(async (given: string): Promise<void> => {
    await new Api(given).get<Caller>('/authz/whoami')
    keepCredential(given)
    setError(undefined)
    setCredential(given)
  }, [])
  const signOut = useCallback(() => {
    keepCredential(undefined)
    setCredential(undefined)
  }, [])
  return { session, error, signIn, signOut }
}

const KINDS: Record<Caller['kind'], string> = {
  administrator: 'Administrator', api_key: 'API key', valet_key: 'Valet key', local: 'Local caller', anonymous: 'Not signed in'
}

function Who ({ caller, onSignIn, onSignOut }: { caller: Caller, onSignIn: () => void, onSignOut: () => void }) {
  const isSignedIn = caller.kind !== 'local' && caller.kind !== 'anonymous'
  return (
    <>
      <span class='name' title={caller.id}>{KINDS[caller.kind]}</span>
      {isSignedIn ? <Button kind='quiet' onClick={onSignOut}>Sign out</Button> : <Button kind='quiet' onClick={onSignIn}>Sign in</Button>}
    </>
  )
}

function Nothing ({ caller, hasPages, onSignIn }: { caller: Caller, hasPages: boolean, onSignIn: () => void }) {
  if (hasPages) {
    return <Notice kind='info'><p>There is no such page here, or your credential does not reach it. Choose one above.</p></Notice>
  }
  return (
    <div class='welcome'>
      <h1>Larder</h1>
      <p>A cache that runs as a service, and the Fastify plugins it is made of.</p>
      {caller.kind === 'anonymous'
        ? <p>To see what is in it, sign in with an API key, a valet key, or the administrator’s key.</p>
        : <p>The credential that you signed in with permits nothing that is shown here. Sign in with another one.</p>}
      <p><Button kind='primary' onClick={onSignIn}>Sign in</Button></p>
      <p>What everybody may see: <a href='/docs'>the API in Swagger UI</a>, <a href='/redoc'>the same to read</a>, <a href='/openapi.json'>as OpenAPI 3.1</a>, and <a href='/health/ready'>how the service is</a>.</p>
    </div>
  )
}

/** Shows a page once its code is there. */
function Outlet ({ page }: { page: Page }) {
  const [loaded, setLoaded] = useState<{ Contents: ComponentType }>()
  const [missing, setMissing] = useState<Error>()
  const [crash, reset] = useErrorBoundary() as [Error | undefined, () => void]
  useEffect(() => {
    page.load().then(({ default: Contents }) => { setLoaded({ Contents }) }, setMissing)
  }, [page])
  if (missing !== undefined) {
    return <Notice kind='error'><p>The code of this page did not arrive: the service may have been updated since it was opened. <a href='/'>Open it anew.</a></p></Notice>
  }
  if (crash !== undefined) {
    return <Notice kind='error'><p>This page has a fault: {crash.message}</p><Button onClick={reset}>Show it again</Button></Notice>
  }
  return loaded === undefined ? <p class='quiet' role='status'>Loading {page.title}…</p> : <loaded.Contents />
}
