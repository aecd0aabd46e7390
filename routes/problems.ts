import { Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { addVary } from '../plugins/security.js'
import { PAGE_POLICY } from '../plugins/static.js'
import { problems as problemAnswers, ref } from '../schemas/common.js'
import { ProblemType } from '../schemas/documentation.js'
import { PROBLEMS, type ProblemSlug } from '../schemas/problems.js'
import { NotFoundError } from '../services/errors.js'

/** What the `type` of a problem leads to. Prefix: `/problems`. */
const problems: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/:slug', {
    config: { scope: 'public' },
    schema: {
      operationId: 'getProblemType',
      tags: ['Documentation'],
      summary: 'What a type of problem means and what to do about it',
      params: Type.Object({
        slug: Type.String({ maxLength: 64, description: 'The last part of the `type`', examples: ['not-found'] })
      }),
      response: { 200: ref(ProblemType), ...problemAnswers(404) }
    }
  }, (request, reply) => {
    const { slug } = request.params
    if (!Object.hasOwn(PROBLEMS, slug)) throw new NotFoundError('There is no problem of this type: `type` of the problem is its address.')
    const [status, title, advice] = PROBLEMS[slug as ProblemSlug]
    addVary(reply, 'Accept')
    reply.headers(PAGE_POLICY).header('cache-control', 'public, max-age=3600')
    if (request.headers.accept?.includes('text/html') !== true) {
      reply.send({ type: `/problems/${slug}`, title, status, advice })
      return
    }
    // The parts come from our own table and hold nothing that HTML would read; backquotes mark code there.
    (reply as FastifyReply).type('text/html; charset=utf-8').send(page(title, status, advice.replace(/`([^`]+)`/g, '<code>$1</code>')))
  })
}

export default problems

function page (title: string, status: number, advice: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title} · Larder</title>
<link rel="icon" href="/assets/icon.svg">
<link rel="stylesheet" href="/assets/style.css">
<main>
<h1>${title}</h1>
<p class="lead">Status ${status}</p>
<p>${advice}</p>
<p><a href="/docs">The interface</a> · <a href="/">Larder</a></p>
</main>
</html>
`
}
