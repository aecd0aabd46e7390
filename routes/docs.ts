import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { REFERENCE_POLICY } from '../plugins/static.js'
import { ref } from '../schemas/common.js'
import { OpenApiDocument } from '../schemas/documentation.js'

const page = readFileSync(new URL('../public/redoc.html', import.meta.url), 'utf8')

interface Document { text: string, etag: string }

/** The OpenAPI document and the second reference; the first one, Swagger UI, comes with the openapi plugin. Prefix: none. */
const docs: FastifyPluginAsyncTypebox = async (app) => {
  // The routes do not change once the service is ready, so neither does the document.
  let json: Document | undefined
  let yaml: Document | undefined

  app.get('/openapi.json', {
    config: { scope: 'public' },
    schema: {
      operationId: 'getOpenApiJson',
      tags: ['Documentation'],
      summary: 'This document as JSON',
      response: { 200: ref(OpenApiDocument), 304: Type.Null({ description: 'The caller has it already' }) }
    }
  }, (request, reply) => {
    json ??= document(JSON.stringify(app.swagger()))
    send(request, reply, json, 'application/json; charset=utf-8')
  })

  app.get('/openapi.yaml', {
    config: { scope: 'public' },
    schema: {
      operationId: 'getOpenApiYaml',
      tags: ['Documentation'],
      summary: 'This document as YAML',
      response: {
        200: {
          description: 'An OpenAPI 3.1 document',
          content: { 'application/yaml': { schema: Type.String(), example: 'openapi: 3.1.0\ninfo:\n  title: Larder\n' } }
        },
        304: Type.Null({ description: 'The caller has it already' })
      }
    }
  }, (request, reply) => {
    yaml ??= document(app.swagger({ yaml: true }))
    send(request, reply, yaml, 'application/yaml; charset=utf-8')
  })

  app.get('/redoc', { config: { scope: 'public' }, schema: { hide: true } }, (_request, reply) => {
    reply.headers(REFERENCE_POLICY).type('text/html; charset=utf-8').send(page)
  })
}

export default docs

function document (text: string): Document {
  return { text, etag: `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"` }
}

function send (request: FastifyRequest, reply: FastifyReply, { text, etag }: Document, type: string): void {
  reply.header('etag', etag).header('cache-control', 'no-cache')
  if (matches(request.headers['if-none-match'], etag)) reply.code(304).send()
  else reply.type(type).send(text)
}

function matches (condition: string | undefined, etag: string): boolean {
  return condition !== undefined && condition.split(',').some((one) => {
    const tag = one.trim()
    return tag === '*' || tag.replace(/^W\//, '') === etag
  })
}
