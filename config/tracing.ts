import type { Environment } from '../schemas/config.js'
import { ConfigError } from './fault.js'
import { expected, type Given, type Name, schemas } from './values.js'

/** Where traces go, and which. */
export interface TracingConfig {
  /** To which OTLP is posted. */
  url: string
  headers: Record<string, string>
  /** `service.name` among them. */
  resource: Record<string, string>
  sampler: Environment['OTEL_TRACES_SAMPLER']
  /** The share of traces that is kept, for the samplers that go by one. */
  ratio: number
}

type Endpoint = 'OTEL_EXPORTER_OTLP_ENDPOINT' | 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'

/** Those that say where to, or whether: without a place the others do nothing. */
const WHERE: ReadonlySet<string> = new Set<Name>(['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_SDK_DISABLED'])

/** Undefined where nothing is traced. @throws ConfigError */
export function tracingOf (values: Environment, given: (name: Name) => boolean, env: Given, warnings: string[]): TracingConfig | undefined {
  const url = urlOf(values)
  const headers = pairsOf('OTEL_EXPORTER_OTLP_HEADERS', values)
  for (const [name, value] of Object.entries(headers)) {
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || !/^[\t\x20-\x7e]*$/.test(value)) throw unreadable('OTEL_EXPORTER_OTLP_HEADERS')
  }
  const resource = pairsOf('OTEL_RESOURCE_ATTRIBUTES', values)
  if (values.OTEL_SDK_DISABLED) return undefined
  const others = Object.keys(env).filter((name) => name.startsWith('OTEL_') && env[name] !== '' && !WHERE.has(name))
  if (url === undefined) {
    if (others.length > 0) warnings.push(`${others.join(', ')}: not used without OTEL_EXPORTER_OTLP_ENDPOINT.`)
    return undefined
  }
  const unknown = others.filter((name) => !Object.hasOwn(schemas, name))
  if (unknown.length > 0) warnings.push(`${unknown.join(', ')}: not among Larder's settings. Traces go out as OTLP over HTTP, in JSON.`)
  const { OTEL_TRACES_SAMPLER: sampler, OTEL_TRACES_SAMPLER_ARG: ratio, OTEL_SERVICE_NAME: name } = values
  if (given('OTEL_TRACES_SAMPLER_ARG') && !sampler.endsWith('traceidratio')) warnings.push(`OTEL_TRACES_SAMPLER_ARG: not used with OTEL_TRACES_SAMPLER=${sampler}.`)
  const isNamed = given('OTEL_SERVICE_NAME') || resource['service.name'] === undefined
  return { url, headers, resource: { ...resource, ...(isNamed && { 'service.name': name }) }, sampler, ratio }
}

function urlOf ({ OTEL_EXPORTER_OTLP_ENDPOINT: base, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: whole }: Environment): string | undefined {
  const below = base === undefined ? undefined : endpoint('OTEL_EXPORTER_OTLP_ENDPOINT', base)
  if (whole !== undefined) return endpoint('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', whole).href
  if (below === undefined) return undefined
  below.pathname = below.pathname.replace(/\/*$/, '/v1/traces')
  return below.href
}

/** Not shown when it is wrong: it may have a credential in it. */
function endpoint (name: Endpoint, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw new ConfigError(name, `${name} must be a URL that begins with http:// or https://, ${expected(schemas[name])}.`)
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new ConfigError(name, `${name} must have no credential, query or fragment in it: put what the collector asks for into OTEL_EXPORTER_OTLP_HEADERS.`)
  }
  return url
}

/** Names with values, as in the header `baggage`: `name=value,name=value`, percent-encoded. */
function pairsOf (name: 'OTEL_EXPORTER_OTLP_HEADERS' | 'OTEL_RESOURCE_ATTRIBUTES', { [name]: text = '' }: Environment): Record<string, string> {
  const pairs = text.split(',').map((pair) => pair.trim()).filter((pair) => pair !== '').map((pair) => {
    const at = pair.indexOf('=')
    if (at < 1) throw unreadable(name)
    try {
      return [decodeURIComponent(pair.slice(0, at).trim()), decodeURIComponent(pair.slice(at + 1).trim())] as const
    } catch {
      throw unreadable(name)
    }
  })
  return Object.fromEntries(pairs)
}

function unreadable (name: 'OTEL_EXPORTER_OTLP_HEADERS' | 'OTEL_RESOURCE_ATTRIBUTES'): ConfigError {
  return new ConfigError(name, `${name} must be ${expected(schemas[name])}: name=value, with commas between, values percent-encoded.`)
}
