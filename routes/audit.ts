import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type {} from '../plugins/audit.js'
import { AuditQuery, AuditReply } from '../schemas/audit.js'
import { problems, ref } from '../schemas/common.js'

/** Who did what. Prefix: `/audit`. */
const audit: FastifyPluginAsyncTypebox = async (app) => {
  app.get('', {
    config: { scope: 'audit:read' },
    schema: {
      operationId: 'listAuditEntries',
      summary: 'List what was done, and what was denied',
      description: 'The newest first. Denials and uses of valet keys that are alike and come within a minute of each other are one entry with a count. ' +
        'Who is limited to namespaces or resources sees their own acts alone.',
      tags: ['Audit'],
      querystring: AuditQuery,
      response: { 200: ref(AuditReply), ...problems(400, 503) }
    }
  }, async ({ query, principal }, reply) => {
    const page = await app.audit.list(principal, query)
    reply.header('cache-control', 'no-store')
    if (page.next_cursor !== undefined) {
      const { cursor: _, ...same } = query
      const parameters = new URLSearchParams(Object.entries({ ...same, cursor: page.next_cursor }).map(([name, value]): [string, string] => [name, String(value)]))
      reply.header('link', `<${app.prefix}?${parameters.toString()}>; rel="next"`)
    }
    return page
  })
}

export default audit
