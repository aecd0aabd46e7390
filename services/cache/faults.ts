import { BackendFullError, BackendUnavailableError } from './errors.js'

/** The backend is down or full, which is never the caller's fault. */
export const isOutage = (error: unknown): boolean => error instanceof BackendUnavailableError || error instanceof BackendFullError

/** Is told of a fault in work that nobody waits for. */
export type OnFault = (error: unknown) => void

/** Where nobody else wants to know, a warning of the process. */
export const warnOfFault: OnFault = (error) => { process.emitWarning(error instanceof Error ? error : String(error)) }
