/** What spans may say, in the names of OpenTelemetry's conventions or under `larder.`. */
export type SpanAttributes = Record<string, string | number>

/** Told of what becomes of traces. */
export interface TracingLog {
  warn (detail: object, message: string): void
  info (detail: object, message: string): void
}

/**
 * Traces of what this process does. Whoever holds one knows nothing of OpenTelemetry, which is loaded with it: where nothing is traced, there is
 * none.
 */
export interface Tracing {
  /** Which trace and span is under way, for a log line; undefined where none is. */
  fields (): { trace_id: string, span_id: string } | undefined
  /** The same for what is sent or kept, as in the W3C header `traceparent`. */
  traceparent (): string | undefined
  /** Runs an operation as a span of the request under way, and without one where there is none. */
  operation<T> (name: string, attributes: SpanAttributes, run: () => Promise<T>, outcomeOf: (result: T) => string): Promise<T>
  /** Runs what a message gave rise to, as a span of the trace of `traceparent`, linked to it. */
  consume<T> (name: string, attributes: SpanAttributes, traceparent: string, run: () => Promise<T>, outcomeOf: (result: T) => string): Promise<T>
  /** Where it is said that traces get lost. Before, it is not. */
  log: TracingLog | undefined
  /** Sends what waits, for two seconds at most, and undoes what was patched. */
  close (): Promise<void>
}

export interface TracingOptions {
  /** To which OTLP is posted. */
  url: string
  headers: Record<string, string>
  resource: Record<string, string>
  sampler: SamplerName
  /** From 0 to 1. */
  ratio: number
  /** Whether a request to the path (with its query, or a route's template) is traced. */
  isTraced: (path: string) => boolean
}

export type SamplerName = 'always_on' | 'always_off' | 'traceidratio' | 'parentbased_always_on' | 'parentbased_always_off' | 'parentbased_traceidratio'
