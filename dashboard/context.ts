import { createContext } from 'preact'
import { useCallback, useContext, useEffect, useRef, useState } from 'preact/hooks'
import type { Api, RequestOptions } from './api.js'
import type { Caller } from './credential.js'
import type { StreamMessage, StreamState } from './event-stream.js'

export interface Session {
  api: Api
  caller: Caller
}

/** Given by the shell once it knows who the caller is; pages are shown inside alone. */
export const SessionContext = createContext<Session | undefined>(undefined)

function useSession (): Session {
  const session = useContext(SessionContext)
  if (session === undefined) throw new Error('There is no session here: pages belong inside the shell.')
  return session
}

export function useApi (): Api {
  return useSession().api
}

export function useCaller (): Caller {
  return useSession().caller
}

/** Whether the caller holds a permission, such as `cache:write`. */
export function useMay (): (permission: string) => boolean {
  const { caller } = useSession()
  return useCallback((permission) => caller.permissions.includes(permission), [caller])
}

export interface Asked<T> {
  /** The last answer; also while another one is on its way, and after one failed. */
  data: T | undefined
  error: Error | undefined
  isLoading: boolean
  reload: () => void
}

/** Asks when the component comes and whenever one of `deps` changes. An answer that nobody waits for any more is left alone. */
export function useAsk<T> (ask: (api: Api, signal: AbortSignal) => Promise<T>, deps: readonly unknown[]): Asked<T> {
  const api = useApi()
  const [round, setRound] = useState(0)
  const [state, setState] = useState<Omit<Asked<T>, 'reload'>>({ data: undefined, error: undefined, isLoading: true })
  useEffect(() => {
    const end = new AbortController()
    setState((last) => ({ ...last, isLoading: true }))
    ask(api, end.signal).then(
      (data) => { if (!end.signal.aborted) setState({ data, error: undefined, isLoading: false }) },
      (error: unknown) => { if (!end.signal.aborted) setState((last) => ({ ...last, error: errorOf(error), isLoading: false })) }
    )
    return () => { end.abort() }
  }, [api, round, ...deps])
  const reload = useCallback(() => { setRound((round) => round + 1) }, [])
  return { ...state, reload }
}

export interface Doing {
  /** Acts, one thing at a time, and answers its result; undefined where it failed, which `error` says then. */
  run: <T>(what: string, act: () => Promise<T>) => Promise<T | undefined>
  /** What is being done now. */
  busy: string | undefined
  error: Error | undefined
  /** What was done last, unless it failed. */
  done: string | undefined
  clear: () => void
}

/** For what buttons do. */
export function useDo (): Doing {
  const [state, setState] = useState<Pick<Doing, 'busy' | 'error' | 'done'>>({ busy: undefined, error: undefined, done: undefined })
  const isBusy = useRef(false)
  const run = useCallback(async function run<T> (what: string, act: () => Promise<T>): Promise<T | undefined> {
    if (isBusy.current) return undefined
    isBusy.current = true
    setState({ busy: what, error: undefined, done: undefined })
    try {
      const result = await act()
      setState({ busy: undefined, error: undefined, done: what })
      return result
    } catch (error) {
      setState({ busy: undefined, error: errorOf(error), done: undefined })
      return undefined
    } finally {
      isBusy.current = false
    }
  }, [])
  const clear = useCallback(() => { setState((last) => ({ ...last, error: undefined, done: undefined })) }, [])
  return { ...state, run, clear }
}

/** Listens while the component is there. @param path undefined: not at all */
export function useStream (path: string | undefined, onMessage: (message: StreamMessage) => void, query?: RequestOptions['query']): { state: StreamState, error: Error | undefined } {
  const api = useApi()
  const latest = useRef(onMessage)
  latest.current = onMessage
  const [state, setState] = useState<{ state: StreamState, error: Error | undefined }>({ state: 'connecting', error: undefined })
  useEffect(() => {
    if (path === undefined) return undefined
    return api.stream(path, {
      onMessage: (message) => { latest.current(message) },
      onState: (state, error) => { setState({ state, error }) }
    }, query)
  }, [api, path, JSON.stringify(query)])
  return state
}

/** Acts again and again while the page is seen. @param every milliseconds; undefined: never */
export function useEvery (every: number | undefined, act: () => void): void {
  const latest = useRef(act)
  latest.current = act
  useEffect(() => {
    if (every === undefined) return undefined
    const timer = setInterval(() => { if (document.visibilityState === 'visible') latest.current() }, every)
    return () => { clearInterval(timer) }
  }, [every])
}

function errorOf (error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
