import type { FastifyInstance } from 'fastify'

/** The table of contents: which module answers under which prefix. */
export default async function routes (_app: FastifyInstance): Promise<void> {
}
