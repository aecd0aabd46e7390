import { useCallback, useRef, useState } from 'preact/hooks'
import type { Product, ProductListReply } from '../../../schemas/products.js'
import { useApi } from '../../context.js'

/** One time that the list was asked for. */
export interface Load {
  readonly number: number
  /** Milliseconds since 1970. */
  readonly at: number
  /** What led to it. */
  readonly why: string
  readonly source: ProductListReply['source']
  /** Seconds that the service says it took. */
  readonly made: number
  /** Seconds from the question to the whole of the answer, here. */
  readonly trip: number
  /** As the answer says it (RFC 9211). */
  readonly cacheStatus: string
}

export interface Shelf {
  /** Undefined before the first load. */
  readonly products: readonly Product[] | undefined
  /** Whether there are more than were answered. */
  readonly isCut: boolean
  /** The newest first, and only so many. */
  readonly loads: readonly Load[]
  readonly isLoading: boolean
  readonly error: Error | undefined
  /** Of the last question, whether or not it is answered. */
  readonly asked: number
  /** The load is undefined where it failed, which `error` says then. */
  readonly load: (why: string, options?: { isPast?: boolean }) => Promise<{ number: number, load: Load | undefined }>
}

/** What is said of a change, until the list is asked for again. */
export interface Change {
  readonly number: number
  readonly said: string
}

const KEPT = 8

/** The product list, and how it came each time. */
export function useShelf (): Shelf {
  const api = useApi()
  const asked = useRef(0)
  const [state, setState] = useState<Omit<Shelf, 'load'>>({ products: undefined, isCut: false, loads: [], isLoading: false, error: undefined, asked: 0 })

  const load = useCallback(async (why: string, { isPast = false } = {}): Promise<{ number: number, load: Load | undefined }> => {
    const number = ++asked.current
    setState((last) => ({ ...last, isLoading: true, error: undefined, asked: number }))
    try {
      const { body, headers, seconds } = await api.ask<ProductListReply>('GET', '/products', { query: { nocache: isPast || undefined } })
      const load: Load = {
        number, at: Date.now(), why, source: body.source, made: body.response_time, trip: seconds, cacheStatus: headers.get('cache-status') ?? ''
      }
      setState((last) => {
        const loads = [load, ...last.loads].slice(0, KEPT)
        // An answer that a later question has overtaken is history alone.
        return number < asked.current ? { ...last, loads } : { ...last, loads, products: body.products, isCut: body.next_cursor !== undefined, isLoading: false }
      })
      return { number, load }
    } catch (error) {
      if (number === asked.current) setState((last) => ({ ...last, isLoading: false, error: error as Error }))
      return { number, load: undefined }
    }
  }, [api])
  return { ...state, load }
}

/** How the list came after a change of it, in words. */
export function reloaded (load: Load | undefined, time: (seconds: number) => string): string {
  if (load === undefined) return 'The cache dropped its copy of the list. Loading it again failed: press Load Products.'
  if (load.source === 'database') return `The cache dropped its copy of the list, so that it came from the database again, in ${time(load.made)}.`
  return 'The cache dropped its copy of the list, and already has the new one: somebody else asked in between.'
}
