/** What is listened to: what came lately, and what has come since it was paused. */
export interface Listened<T> { shown: readonly T[], waiting: readonly T[], isPaused: boolean, missed: number }

export const NOTHING_HEARD = { shown: [], waiting: [], isPaused: false, missed: 0 } as const

/** Adds what came, in front; what waits is bounded as what is shown is. */
export function heard<T> (state: Listened<T>, one: T, limit: number): Listened<T> {
  if (!state.isPaused) return { ...state, shown: [one, ...state.shown].slice(0, limit) }
  return { ...state, waiting: [one, ...state.waiting].slice(0, limit), missed: state.missed + (state.waiting.length === limit ? 1 : 0) }
}

export function paused<T> (state: Listened<T>): Listened<T> {
  return { ...state, isPaused: true }
}

/** What has come in the meantime goes in front. */
export function resumed<T> (state: Listened<T>, limit: number): Listened<T> {
  return { shown: [...state.waiting, ...state.shown].slice(0, limit), waiting: [], isPaused: false, missed: 0 }
}
