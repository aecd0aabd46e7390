import { readFileSync } from 'node:fs'
import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { addVary } from '../plugins/security.js'
import { PAGE_POLICY } from '../plugins/static.js'
import { ref } from '../schemas/common.js'
import { Greeting, name } from '../schemas/home.js'

const page = readFileSync(new URL('../public/dashboard/index.html', import.meta.url), 'utf8')

/** The front page and the greetings. Prefix: none. */
const home: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/', {
    config: { scope: 'public' },
    schema: {
      operationId: 'getHome',
      tags: ['Greetings'],
      summary: 'The dashboard for a browser, a welcome for anyone else',
      response: {
        200: {
          description: 'The dashboard, or a line of text',
          content: {
            'text/plain': { schema: Type.String(), example: 'Welcome to Larder!' },
            'text/html': { schema: Type.String(), example: '<!doctype html><title>Larder</title>' }
          }
        }
      }
    }
  }, (request, reply) => {
    addVary(reply, 'Accept')
    if (prefersHtml(request.headers.accept)) reply.headers(PAGE_POLICY).header('cache-control', 'no-cache').type('text/html; charset=utf-8').send(page)
    else reply.type('text/plain; charset=utf-8').send('Welcome to Larder!')
  })

  app.get('/user', {
    config: { scope: 'public' },
    schema: {
      operationId: 'greet',
      tags: ['Greetings'],
      summary: 'Greets whom the query names, or a guest',
      querystring: Type.Object({ name: Type.Optional(name) }),
      response: { 200: ref(Greeting) }
    }
  }, (request, reply) => {
    reply.send(greeting(request.query.name))
  })

  app.get('/user/:name', {
    config: { scope: 'public' },
    schema: {
      operationId: 'greetByName',
      tags: ['Greetings'],
      summary: 'Greets whom the path names',
      params: Type.Object({ name }),
      response: { 200: ref(Greeting) }
    }
  }, (request, reply) => {
    reply.send(greeting(request.params.name))
  })
}

export default home

function greeting (name: string | undefined): Greeting {
  return { message: `Hello, ${name === undefined || name === '' ? 'Guest' : name}!` }
}

/** Whether the caller names `text/html` in Accept without refusing it; a bare wildcard, as of curl, is no browser. */
function prefersHtml (accept: string | undefined): boolean {
  return accept !== undefined && accept.split(',').some((range) => {
    const [type, ...parameters] = range.split(';')
    return type!.trim().toLowerCase() === 'text/html' && !parameters.some((parameter) => /^\s*q\s*=\s*0(?:\.0*)?\s*$/i.test(parameter))
  })
}
