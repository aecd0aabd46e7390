import { Type } from '@sinclair/typebox'

export const OpenApiDocument = Type.Object({
  openapi: Type.String()
}, {
  $id: 'OpenApiDocument',
  additionalProperties: true,
  description: 'An OpenAPI 3.1 document',
  examples: [{ openapi: '3.1.0', info: { title: 'Larder', version: '0.1.0' }, paths: {} }]
})

export const ProblemType = Type.Object({
  type: Type.String({ description: 'The address of this page' }),
  title: Type.String(),
  status: Type.Integer(),
  advice: Type.String({ description: 'What to do about it' })
}, {
  $id: 'ProblemType',
  additionalProperties: false,
  description: 'What a type of problem means',
  examples: [{
    type: '/problems/precondition-failed',
    title: 'Precondition failed',
    status: 412,
    advice: 'Read the entry again and retry with its current version.'
  }]
})
