import type { PartHealth, ReadinessReply } from '../schemas/health.js'

/** Resolves when the part works, and rejects when it does not. It may hang: it is not waited for past the deadline. */
export type HealthCheck = () => unknown

export interface HealthOptions {
  /** Milliseconds that a part has to answer. Default 1000. */
  deadline?: number
  /** Milliseconds for which an answer stands, however often it is asked for. Default 1000. */
  lifetime?: number
  /** Milliseconds, never going back. */
  now?: () => number
}

interface Part {
  check: HealthCheck | undefined
  required: boolean
}

/** How the parts of the service are. Each is checked at most once per lifetime, all at the same time. */
export class Health {
  readonly #parts = new Map<string, Part>()
  readonly #deadline: number
  readonly #lifetime: number
  readonly #now: () => number
  #phase: 'starting' | 'running' | 'stopping' = 'starting'
  #report: Promise<Record<string, PartHealth>> | undefined
  /** What was found last, part by part. */
  readonly #found = new Map<string, PartHealth>()
  #reportedAt = 0

  constructor ({ deadline = 1000, lifetime = 1000, now = () => performance.now() }: HealthOptions = {}) {
    this.#deadline = deadline
    this.#lifetime = lifetime
    this.#now = now
  }

  /** Adds a part, or gives a disabled one its check. Without a required part the service is unhealthy, and degraded where requests go on being sent to it. */
  add (name: string, check: HealthCheck, { required = true }: { required?: boolean } = {}): void {
    this.#parts.set(name, { check, required })
  }

  /** Names a part that is not configured, so that it is listed all the same. */
  disable (name: string): void {
    this.#parts.set(name, { check: undefined, required: false })
  }

  /** Start-up is done. */
  started (): void {
    if (this.#phase === 'starting') this.#phase = 'running'
  }

  /** Shutdown begins: no longer ready, from this moment on. */
  stopping (): void {
    this.#phase = 'stopping'
  }

  /** What is known without asking: nothing of parts that were never checked. `isReady` is whether requests should be sent here. */
  get known (): { isReady: boolean, parts: ReadonlyMap<string, PartHealth> } {
    return { isReady: this.#phase === 'running', parts: this.#found }
  }

  async healthy (): Promise<boolean> {
    return works(await this.#check())
  }

  /**
   * A required part that is away makes a service that runs degraded, and no less ready: it is mostly away for all replicas, and what is cached,
   * stale answers and the last settings are served on by each of them, where a balancer without any would answer nothing.
   */
  async readiness (): Promise<ReadinessReply> {
    const parts = await this.#check()
    if (this.#phase !== 'running') return { status: this.#phase, parts }
    return { status: works(parts) ? 'ready' : 'degraded', parts }
  }

  #check (): Promise<Record<string, PartHealth>> {
    const now = this.#now()
    if (this.#report === undefined || now - this.#reportedAt >= this.#lifetime) {
      this.#reportedAt = now
      this.#report = this.#checkAll()
    }
    return this.#report
  }

  async #checkAll (): Promise<Record<string, PartHealth>> {
    const entries = [...this.#parts].map(async ([name, part]) => [name, await this.#checkOne(name, part)] as const)
    return Object.fromEntries(await Promise.all(entries))
  }

  async #checkOne (name: string, { check, required }: Part): Promise<PartHealth> {
    if (check === undefined) return { status: 'disabled', required }
    const begun = this.#now()
    const status = await this.#works(check) ? 'up' : 'down'
    const found = { status, required, latency: Math.round((this.#now() - begun) * 1000) / 1e6 } as const
    this.#found.set(name, found)
    return found
  }

  #works (check: HealthCheck): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), this.#deadline)
      // Why a part is down is for the log of the plugin that owns it, not for whoever may ask here.
      Promise.resolve().then(check).then(() => resolve(true), () => resolve(false)).finally(() => clearTimeout(timer))
    })
  }
}

function works (parts: Record<string, PartHealth>): boolean {
  return Object.values(parts).every(({ status, required }) => status !== 'down' || !required)
}
