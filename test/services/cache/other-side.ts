import { DeadlineError } from '../../../services/cache/deadline.js'

/** What operations meet that have to do with something slow, down or hung. */
export class Outage extends Error { override name = 'Outage' }
export const isOutage = (error: unknown): boolean => error instanceof Outage || error instanceof DeadlineError
export const down = async (): Promise<never> => { throw new Outage('down') }
export const up = async (): Promise<boolean> => true
export const hung = async (): Promise<never> => await new Promise(() => {})
