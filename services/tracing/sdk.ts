import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { hostname } from 'node:os'
import { context, diag, DiagLogLevel, propagation, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http'
import { IORedisInstrumentation } from '@opentelemetry/instrumentation-ioredis'
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg'
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources'
import { AlwaysOffSampler, AlwaysOnSampler, BatchSpanProcessor, NodeTracerProvider, ParentBasedSampler, type Sampler, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace-node'
import { keepContexts } from './redis-contexts.js'
import { SealingExporter } from './sealing-exporter.js'
import type { SamplerName, Tracing, TracingOptions } from './tracing.js'

/** Spans that wait to be sent at most, and that are sent at once. */
const WAITING = 4096
const TOGETHER = 512
/** Milliseconds that spans are gathered for, that the collector has to take them, and that the end waits for it. */
const GATHERED = 500
const DEADLINE = 5000
const LAST_DEADLINE = 2000

/**
 * OpenTelemetry's own parts, set up by what is given and nothing else. Registered with the API of OpenTelemetry, of which a process has one: so a
 * process has one of these at a time.
 *
 * The instrumentations patch prototypes, when a module is required. Larder's own modules import: so what is to be patched is required here, and it
 * does not matter whether it has been imported before.
 */
export function startTracing ({ url, headers, resource, sampler, ratio, isTraced }: TracingOptions): Tracing {
  const exporter = new SealingExporter(new OTLPTraceExporter({ url, headers, timeoutMillis: DEADLINE }), new URL(url).host)
  diag.setLogger({
    // There is no other word of it: the queue says nothing.
    warn: (message) => { if (message.startsWith('Dropped ')) exporter.overflowed() },
    error: () => {},
    info: () => {},
    debug: () => {},
    verbose: () => {}
  }, DiagLogLevel.WARN)
  const own = { 'service.instance.id': randomUUID(), 'host.name': hostname(), 'process.pid': process.pid }
  const provider = new NodeTracerProvider({
    resource: defaultResource().merge(resourceFromAttributes({ ...own, ...resource })),
    sampler: samplerOf(sampler, ratio),
    spanProcessors: [new BatchSpanProcessor(exporter, { maxQueueSize: WAITING, maxExportBatchSize: TOGETHER, scheduledDelayMillis: GATHERED, exportTimeoutMillis: DEADLINE + 1000 })]
  })
  provider.register()
  const instrumentations = [
    new HttpInstrumentation({ disableOutgoingRequestInstrumentation: true, ignoreIncomingRequestHook: ({ url: path = '/' }) => !isTraced(path) }),
    // What nobody asked for, such as a look for events, is no trace.
    new PgInstrumentation({ requireParentSpan: true, ignoreConnectSpans: true }),
    new IORedisInstrumentation({ requireParentSpan: true, dbStatementSerializer: (name) => name })
  ]
  const require = createRequire(import.meta.url)
  for (const name of ['node:http', 'node:https', 'pg', 'ioredis']) require(name)
  const forgetContexts = keepContexts()
  const tracer = trace.getTracer('larder')

  return {
    fields () {
      const span = trace.getActiveSpan()?.spanContext()
      return span === undefined ? undefined : { trace_id: span.traceId, span_id: span.spanId }
    },
    traceparent () {
      const carrier: { traceparent?: string } = {}
      propagation.inject(context.active(), carrier)
      return carrier.traceparent
    },
    async operation (name, attributes, run, outcomeOf) {
      if (trace.getActiveSpan() === undefined) return await run()
      return await tracer.startActiveSpan(name, { attributes }, async (span) => await finished(span, run, outcomeOf))
    },
    async consume (name, attributes, traceparent, run, outcomeOf) {
      const parent = propagation.extract(ROOT_CONTEXT, { traceparent })
      const cause = trace.getSpanContext(parent)
      const options = { kind: SpanKind.CONSUMER, attributes, ...(cause && { links: [{ context: cause }] }) }
      return await tracer.startActiveSpan(name, options, parent, async (span) => await finished(span, run, outcomeOf))
    },
    get log () { return exporter.log },
    set log (log) { exporter.log = log },
    async close () {
      let timer: NodeJS.Timeout | undefined
      const enough = new Promise<void>((resolve) => { timer = setTimeout(resolve, LAST_DEADLINE) })
      // Whether they arrived is in the log; the end is the same.
      await Promise.race([provider.shutdown().catch(() => {}), enough]).finally(() => { clearTimeout(timer) })
      forgetContexts()
      for (const instrumentation of instrumentations) instrumentation.disable()
      for (const part of [trace, context, propagation, diag]) part.disable()
    }
  }
}

async function finished<T> (span: Span, run: () => Promise<T>, outcomeOf: (result: T) => string): Promise<T> {
  try {
    const result = await run()
    span.setAttribute('larder.outcome', outcomeOf(result))
    return result
  } catch (error) {
    const { code, name } = error as { code?: unknown, name?: string }
    span.setAttributes({ 'larder.outcome': 'error', 'error.type': typeof code === 'string' ? code : name ?? 'unknown' })
    span.setStatus({ code: SpanStatusCode.ERROR })
    throw error
  } finally {
    span.end()
  }
}

function samplerOf (name: SamplerName, ratio: number): Sampler {
  const [, parentBased, root] = /^(parentbased_)?(.*)$/.exec(name) as unknown as [string, string | undefined, string]
  const chosen = root === 'always_off' ? new AlwaysOffSampler() : root === 'traceidratio' ? new TraceIdRatioBasedSampler(ratio) : new AlwaysOnSampler()
  return parentBased === undefined ? chosen : new ParentBasedSampler({ root: chosen })
}
