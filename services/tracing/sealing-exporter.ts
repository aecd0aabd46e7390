import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace-node'
import { sealed } from './sealed-span.js'
import type { TracingLog } from './tracing.js'

type Done = Parameters<SpanExporter['export']>[1]

/** `ExportResultCode.SUCCESS`. */
const SUCCESS = 0
/** Milliseconds without a loss after which the next one is told again. */
const EPISODE = 60_000

/** Sends spans on, each fit to be sent, and says once that they get lost, and that they do not any more. */
export class SealingExporter implements SpanExporter {
  readonly #inner: SpanExporter
  readonly #host: string
  #isAway = false
  #lostAt = -Infinity
  log: TracingLog | undefined

  constructor (inner: SpanExporter, host: string) {
    this.#inner = inner
    this.#host = host
  }

  export (spans: ReadableSpan[], done: Done): void {
    this.#inner.export(spans.map(sealed), (result) => {
      if ((result.code as number) === SUCCESS) this.#delivered()
      else this.#failed(result.error)
      done(result)
    })
  }

  /** Spans came faster than they could be sent. While nobody takes any, that is no news. */
  overflowed (): void {
    const now = performance.now()
    const isNews = !this.#isAway && now - this.#lostAt > EPISODE
    this.#lostAt = now
    if (isNews) this.log?.warn({}, 'Traces get lost: there are more than can be sent. Keep a share of them with OTEL_TRACES_SAMPLER=parentbased_traceidratio and OTEL_TRACES_SAMPLER_ARG')
  }

  async shutdown (): Promise<void> { await this.#inner.shutdown() }
  async forceFlush (): Promise<void> { await this.#inner.forceFlush?.() }

  #delivered (): void {
    if (this.#isAway) this.log?.info({ collector: this.#host }, 'Traces are taken again')
    this.#isAway = false
  }

  #failed (error: (Error & { code?: string | number }) | undefined): void {
    // Its message may hold what the collector answered, headers included.
    if (!this.#isAway) this.log?.warn({ collector: this.#host, reason: error?.code ?? error?.name ?? 'unknown' }, 'Traces get lost: the collector at OTEL_EXPORTER_OTLP_ENDPOINT does not take them. Nothing else is affected')
    this.#isAway = true
  }
}
