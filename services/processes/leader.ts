import type { Cluster, Worker } from 'node:cluster'
import { Counting } from './counting.js'
import { type Answer, isMessage, type Order, type Report } from './messages.js'

export interface LeaderOptions {
  /** Node's, in the process that leads. */
  cluster: Cluster
  /** Processes that serve. */
  count: number
  log: Record<'info' | 'warn' | 'error', (detail: object, message: string) => void>
  /** Whether there are metrics. */
  hasMetrics: boolean
  /** Milliseconds that the processes get to end in an orderly way. */
  patience: number
  /** Milliseconds before the place of one that died soon is taken again at first, and at most: it doubles in between. Default 100 and 10 000. */
  backOff?: { first: number, longest: number }
}

/** Milliseconds after which a process has proved itself: that it died then does not make the next one wait. */
const PROVED = 30_000
/** Deaths before listening, one after the other, after which there is no hope when nobody is left to serve. */
const HOPELESS = 5
const UNCOUNTED = 'what the processes have counted cannot be summed'

interface Place {
  readonly number: number
  worker: Worker | undefined
  bornAt: number
  isListening: boolean
  timer: NodeJS.Timeout | undefined
}

/**
 * Leads several processes that serve on one port (Node's cluster; whoever is free takes the next connection): has them begin, puts
 * another in the place of one that dies, sums what they count, and has them end together.
 */
export class Leader {
  readonly #options: Required<LeaderOptions>
  readonly #places: Place[]
  /** Which place's process a worker was, until all that it has said is read: that may be after its exit. */
  readonly #speakers = new Map<Worker['id'], number>()
  readonly #counting: Counting
  #restarts = 0
  /** Deaths in a row before the process listened. */
  #failures = 0
  /** Deaths of processes that had not proved themselves. */
  #haste = 0
  #isEnding = false
  #exitCode = 0
  #ended: (exitCode: number) => void = () => {}
  /** Resolves with the exit code when all of them have ended, and shall not begin again. */
  readonly ended: Promise<number>

  constructor (options: LeaderOptions) {
    this.#options = { backOff: { first: 100, longest: 10_000 }, ...options }
    const { cluster, count: processes } = options
    // All accept on the one socket. Where the leader accepts and hands connections out, those that it has just handed to one that dies hang for ever.
    cluster.schedulingPolicy = cluster.SCHED_NONE
    this.ended = new Promise((resolve) => { this.#ended = resolve })
    this.#places = Array.from({ length: processes }, (_, at) => ({ number: at + 1, worker: undefined, bornAt: 0, isListening: false, timer: undefined }))
    this.#counting = new Counting({
      // Who has yet to begin has counted nothing, and answers late.
      send: (order) => this.#places.flatMap(({ worker, isListening }) => {
        if (!isListening || worker?.isConnected() !== true) return []
        tell(worker, order)
        return [worker.id]
      }),
      own: () => [
        { name: 'larder_processes', help: 'Processes that serve', type: 'gauge', value: this.#places.filter(({ isListening }) => isListening).length },
        { name: 'larder_process_restarts_total', help: 'Processes that took the place of one that had ended', type: 'counter', value: this.#restarts }
      ],
      hasMetrics: options.hasMetrics,
      onFault: (err) => { options.log.error({ err }, UNCOUNTED) }
    })
    cluster.on('listening', (worker) => { this.#listens(worker) })
    cluster.on('message', (worker, message) => { if (isMessage(message)) this.#hear(worker, message as Report) })
    cluster.on('disconnect', (worker) => { this.#silenced(worker) })
    cluster.on('exit', (worker, code, signal) => { this.#exited(worker, code, signal) })
  }

  /** The first process begins alone: what is wrong with the settings is said once, and the database is migrated by one. */
  start (): void {
    this.#fork(this.#places[0] as Place)
  }

  /**
   * Has all of them finish what is under way. Those that do not are killed in the end.
   * @param isHasty nobody has to see first that the service is about to end
   */
  end (isHasty = false): void {
    if (this.#isEnding) return
    this.#isEnding = true
    this.#counting.stop()
    for (const { worker, timer, isListening } of this.#places) {
      clearTimeout(timer)
      // Who has yet to begin may not listen to messages either.
      if (isHasty && isListening) tell(worker, { larder: 'end' })
      else worker?.process.kill('SIGTERM')
    }
    setTimeout(() => { this.kill() }, this.#options.patience).unref()
    this.#settle()
  }

  /** Ends all of them at once. */
  kill (): void {
    for (const { worker } of this.#places) worker?.process.kill('SIGKILL')
  }

  #fork (place: Place): void {
    place.worker = this.#options.cluster.fork()
    this.#speakers.set(place.worker.id, place.number)
    place.bornAt = performance.now()
    place.isListening = false
  }

  #placeOf ({ id }: Worker): Place | undefined {
    return this.#places.find(({ worker }) => worker?.id === id)
  }

  #listens (worker: Worker): void {
    const place = this.#placeOf(worker)
    if (place === undefined) return
    place.isListening = true
    this.#failures = 0
    if (this.#isEnding) return
    for (const each of this.#places) if (each.worker === undefined && each.bornAt === 0) this.#fork(each)
    if (this.#restarts === 0 && this.#places.every(({ isListening }) => isListening)) this.#options.log.info({}, `${this.#places.length} processes serve`)
  }

  #hear (worker: Worker, report: Report): void {
    const number = this.#speakers.get(worker.id)
    if (number === undefined) return
    if (report.larder === 'totals') this.#answer(worker, report.request, this.#counting.totals())
    else if (report.larder === 'ask') this.#answer(worker, report.request, this.#counting.answer(report.question))
    else this.#counting.hear(worker.id, number, report)
  }

  #answer (worker: Worker, request: number, answering: Promise<string | Answer>): void {
    answering
      .catch((err: unknown) => { this.#options.log.error({ err }, UNCOUNTED) })
      .then((answer) => { tell(worker, { larder: 'answer', request, answer: answer ?? undefined }) })
      .catch((err: unknown) => { this.#options.log.error({ err }, UNCOUNTED) })
  }

  /** Nothing is to be heard of it any more. */
  #silenced ({ id }: Worker): void {
    const number = this.#speakers.get(id)
    if (number === undefined) return
    this.#speakers.delete(id)
    this.#counting.ended(id, number)
  }

  #exited (worker: Worker, code: number | null, signal: string | null): void {
    const place = this.#placeOf(worker)
    if (place === undefined) return
    const { isListening, bornAt, number } = place
    place.worker = undefined
    place.isListening = false
    if (this.#isEnding) {
      if (code !== 0 && (isListening || signal !== 'SIGTERM')) this.#exitCode = 1
      this.#settle()
      return
    }
    this.#failures = isListening ? 0 : this.#failures + 1
    const isFirst = this.#places.every(({ bornAt: born, number: other }) => other === number || born === 0)
    const isHopeless = this.#failures >= HOPELESS && this.#places.every((each) => !each.isListening)
    if ((isFirst && !isListening) || isHopeless) {
      // Of the first one that did not begin, the reason stands on stderr already.
      if (isHopeless) this.#options.log.error({ code, signal }, `the service ends: its processes died ${this.#failures} times in a row before they could serve, and none is left`)
      this.end(true)
      this.#exitCode = 1
      return
    }
    const wait = this.#wait(isListening && performance.now() - bornAt > PROVED)
    this.#options.log.error({ pid: worker.process.pid, code, signal, wait }, 'a process that served has ended: another takes its place')
    place.timer = setTimeout(() => {
      this.#restarts++
      this.#fork(place)
    }, wait)
  }

  /** Milliseconds before the next one begins. */
  #wait (isProved: boolean): number {
    const { first, longest } = this.#options.backOff
    this.#haste = isProved ? 0 : this.#haste + 1
    return Math.min(longest, first * 2 ** Math.max(0, this.#haste - 1))
  }

  #settle (): void {
    if (this.#places.every(({ worker }) => worker === undefined)) setImmediate(() => { this.#ended(this.#exitCode) })
  }
}

/** A process that has just ended does not hear it, and its end is told. */
function tell (worker: Worker | undefined, order: Order): void {
  if (worker?.isConnected() === true) worker.send(order, () => {})
}
