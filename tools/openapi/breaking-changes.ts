import { resolve, type Content, type Document, type Header, type Operation, type Parameter } from './document.js'
import { SchemaFit, type Misfit } from './schema-fit.js'

/** What programs written for the old document would stumble over. */
export function breakingChanges (before: Document, after: Document): Misfit[] {
  const found = new Comparison(before, after).run()
  return found.filter(({ text }, i) => found.findIndex((one) => one.text === text) === i)
}

class Comparison {
  readonly #before: Document
  readonly #after: Document
  readonly #requests: SchemaFit
  readonly #answers: SchemaFit

  constructor (before: Document, after: Document) {
    this.#before = before
    this.#after = after
    this.#requests = new SchemaFit(before, after, 'request')
    this.#answers = new SchemaFit(after, before, 'answer')
  }

  run (): Misfit[] {
    const found: Misfit[] = []
    for (const [path, operations] of Object.entries(this.#before.paths)) {
      for (const [method, operation] of Object.entries(operations)) {
        const now = this.#after.paths[path]?.[method]
        const subject = operation.operationId
        if (now === undefined) found.push({ subject, text: `${subject}: ${method.toUpperCase()} ${path} is gone` })
        else found.push(...this.#operation(operation, now))
      }
    }
    // Generated clients have a type of that name.
    for (const name of Object.keys(this.#before.components.schemas)) {
      if (this.#after.components.schemas[name] === undefined) found.push({ subject: name, text: `${name}: the schema is gone` })
    }
    for (const name of Object.keys(this.#before.components.securitySchemes ?? {})) {
      if (this.#after.components.securitySchemes?.[name] === undefined) found.push({ subject: name, text: `${name}: the kind of credential is gone` })
    }
    return found
  }

  #operation (old: Operation, now: Operation): Misfit[] {
    const subject = old.operationId
    const found: Misfit[] = []
    const say = (what: string) => found.push({ subject, text: `${subject}: ${what}` })
    if (now.operationId !== subject) say(`it is called ${now.operationId}`)
    const [scope = 'public', scopeNow = 'public'] = [old['x-scope'], now['x-scope']]
    if (scopeNow !== scope && scopeNow !== 'public') say(`it needs the scope ${scopeNow}, and needed ${scope === 'public' ? 'none' : scope}`)
    return [...found, ...this.#parameters(old, now), ...this.#body(old, now), ...this.#responses(old, now)]
  }

  #parameters (old: Operation, now: Operation): Misfit[] {
    const subject = old.operationId
    const found: Misfit[] = []
    const had = (old.parameters ?? []).map((one) => resolve<Parameter>(this.#before, one))
    const has = (now.parameters ?? []).map((one) => resolve<Parameter>(this.#after, one))
    const counterpart = (list: Parameter[], one: Parameter) => list.find((other) => other.in === one.in && same(other, one))
    for (const one of had) {
      const other = counterpart(has, one)
      if (other === undefined) found.push({ subject, text: `${subject}: the ${one.in} parameter ${one.name} is gone` })
      else found.push(...this.#requests.misfits(one.schema, other.schema, subject, ` ${one.in} parameter ${one.name}`))
    }
    for (const one of has.filter(({ required }) => required === true)) {
      if (counterpart(had, one)?.required !== true) found.push({ subject, text: `${subject}: the ${one.in} parameter ${one.name} has to be sent now` })
    }
    return found
  }

  #body (old: Operation, now: Operation): Misfit[] {
    const subject = old.operationId
    const isNeeded = now.requestBody?.required === true && old.requestBody?.required !== true
    if (old.requestBody === undefined) return isNeeded ? [{ subject, text: `${subject}: a body has to be sent now` }] : []
    if (now.requestBody === undefined) return [{ subject, text: `${subject}: it takes no body any more` }]
    return [
      ...isNeeded ? [{ subject, text: `${subject}: a body has to be sent now` }] : [],
      ...this.#content(old.requestBody.content, now.requestBody.content, subject, 'request')
    ]
  }

  #responses (old: Operation, now: Operation): Misfit[] {
    const subject = old.operationId
    return Object.entries(old.responses).flatMap(([status, answer]): Misfit[] => {
      const answerNow = now.responses[status]
      if (answerNow === undefined) return [{ subject, text: `${subject}: it does not answer ${status} any more` }]
      const headers = Object.entries(answer.headers ?? {}).flatMap(([name, header]): Misfit[] => {
        const headerNow = answerNow.headers?.[name]
        if (headerNow === undefined) return [{ subject, text: `${subject}: ${status} has no header ${name} any more` }]
        return this.#answers.misfits(resolve<Header>(this.#after, headerNow).schema, resolve<Header>(this.#before, header).schema, subject, ` ${status} header ${name}`)
      })
      return [...headers, ...this.#content(answer.content ?? {}, answerNow.content ?? {}, `${subject}`, 'answer', status)]
    })
  }

  #content (old: Content, now: Content, subject: string, direction: 'request' | 'answer', status = ''): Misfit[] {
    return Object.entries(old).flatMap(([type, { schema = {} }]): Misfit[] => {
      const place = direction === 'request' ? ` body as ${type}` : ` ${status} as ${type}`
      if (now[type] === undefined) return [{ subject, text: `${subject}${place} is gone` }]
      const { schema: schemaNow = {} } = now[type]
      return direction === 'request'
        ? this.#requests.misfits(schema, schemaNow, subject, place)
        : this.#answers.misfits(schemaNow, schema, subject, place)
    })
  }
}

/** Names of headers are the same in any spelling. */
function same (one: Parameter, other: Parameter): boolean {
  return one.name === other.name || (one.in === 'header' && one.name.toLowerCase() === other.name.toLowerCase())
}
