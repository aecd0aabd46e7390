import type { ActivityReport } from '../cache/analytics/activity.js'
import type { Snapshot } from '../metrics.js'
import type { Change, Row, RowName } from './rows.js'

/** What a process wants to know of all of them. */
export interface Question {
  /** Rows, each summed. */
  rows?: readonly RowName[]
  /** All rows of these groups, summed. */
  groups?: readonly string[]
  /** The most frequent names of a group. */
  most?: { group: string, limit: number }
  /** When what the rows of a cache count has happened: in one namespace, or in all. */
  activity?: { group: string, namespace: string | undefined }
  /** What each is to tell of, in its own words. */
  each?: unknown
}

export interface Answer {
  /** In the order asked; without numbers where nothing was counted. */
  rows: Row[]
  groups: [name: string, row: Row][][]
  most: [name: string, count: number][]
  /** Undefined for a namespace that there was no room for. */
  activity?: ActivityReport | undefined
  /** Since when all of this was counted, in milliseconds since the epoch. */
  since: number
  /** Of those that have answered in time. */
  each: unknown[]
}

/** From the process that leads to one that serves. */
export type Order =
  /** End, without waiting for others to see that it is about to. */
  | { larder: 'end' }
  /** What have your metrics counted? */
  | { larder: 'count', round: number }
  /** Which rows have changed since you told of them? Some that somebody asks for may be new to you. */
  | { larder: 'tally', round: number, asked: readonly RowName[] }
  /** Tell of this. */
  | { larder: 'tell', round: number, about: unknown }
  /** The answer to `totals`, or to `ask`; undefined when the others could not be asked. */
  | { larder: 'answer', request: number, answer: string | Answer | undefined }

/** From a process that serves to the one that leads. */
export type Report =
  | { larder: 'counts', round: number, snapshot: Snapshot }
  | { larder: 'tally', round: number, changes: Change[] }
  | { larder: 'told', round: number, told: unknown }
  /** What have the metrics of all of us counted? */
  | { larder: 'totals', request: number }
  | { larder: 'ask', request: number, question: Question }
  /** It ends, and this is the last that it has counted. */
  | { larder: 'last', snapshot: Snapshot, changes: Change[] }

/** Whether something that came from another process is one of these messages: other modules may talk over the same channel. */
export function isMessage (message: unknown): message is Order | Report {
  return typeof message === 'object' && message !== null && 'larder' in message
}
