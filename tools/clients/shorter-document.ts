type Json = Record<string, unknown>
interface Answer extends Json { content?: Record<string, Json> }
interface Document extends Json {
  paths: Record<string, Record<string, { responses: Record<string, Answer | { $ref: string }> }>>
  components: Json & { responses?: Record<string, Answer> }
}

/**
 * The same document in fewer words, for types that are kept in the repository: problems that many operations answer alike are named once, and
 * the examples of answers and bodies, which repeat those of their schemas, are left out.
 */
export function shorterDocument (document: object): object {
  const shorter = withoutMediaExamples(structuredClone(document)) as Document
  const answers = Object.values(shorter.paths).flatMap((operations) => Object.values(operations)).flatMap(({ responses }) =>
    Object.entries(responses).map(([status, answer]) => ({ status, answer, text: JSON.stringify(answer), responses })))
  const named: Record<string, Answer> = {}
  const names = new Map<string, string>()
  for (const { status, answer, text, responses } of answers) {
    if (status < '3' || answers.filter((other) => other.text === text && other.status === status).length < 2) continue
    const key = `${status} ${text}`
    const name = names.get(key) ?? freshName(named, `Answer${status}`)
    names.set(key, name)
    named[name] = answer
    responses[status] = { $ref: `#/components/responses/${name}` }
  }
  shorter.components.responses = named
  return shorter
}

function freshName (named: object, name: string): string {
  for (let i = 1; ; i++) {
    const candidate = i === 1 ? name : `${name}Of${i}`
    if (!(candidate in named)) return candidate
  }
}

function withoutMediaExamples (document: object): object {
  for (const operations of Object.values((document as Document).paths)) {
    for (const operation of Object.values(operations) as unknown as { requestBody?: Answer, responses: Record<string, Answer> }[]) {
      for (const { content = {} } of [operation.requestBody ?? {}, ...Object.values(operation.responses)]) for (const media of Object.values(content)) delete media['example']
    }
  }
  return document
}
