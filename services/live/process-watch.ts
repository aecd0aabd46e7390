import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'

/** Milliseconds between looks at the event loop. */
const RESOLUTION = 20

/**
 * What this process takes, as Prometheus text under the names that prom-client has for it. That one's own figures of the event loop
 * begin anew with every scrape: they would no longer be those of the time between two scrapes if they were read here as well.
 */
export class ProcessWatch {
  #delays: IntervalHistogram | undefined

  /** Looks at the event loop from now on. */
  start (): void {
    this.#delays ??= monitorEventLoopDelay({ resolution: RESOLUTION })
    this.#delays.enable()
  }

  stop (): void {
    this.#delays?.disable()
    this.#delays = undefined
  }

  text (): string {
    const { user, system } = process.cpuUsage()
    return `process_cpu_seconds_total ${(user + system) / 1e6}\nprocess_resident_memory_bytes ${process.memoryUsage.rss()}\n` +
      `process_start_time_seconds ${Date.now() / 1000 - process.uptime()}\n${this.#lag()}`
  }

  #lag (): string {
    const delays = this.#delays
    if (delays === undefined || delays.count === 0) return ''
    const lag = Math.max(0, delays.percentile(99) / 1e6 - RESOLUTION) / 1000
    delays.reset()
    return `nodejs_eventloop_lag_p99_seconds ${lag}\n`
  }
}
