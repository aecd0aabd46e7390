import createError from '@fastify/error'
import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type {} from '../plugins/config-store.js'
import { messageText } from '../plugins/event-streams.js'
import { lastEventId, messages, problems, ref } from '../schemas/common.js'
import {
  NewSettingValue, Setting, SettingBatchQuery, SettingChangeQuery, SettingConditions, SettingEdits, SettingEditsReply, SettingHistoryQuery, SettingHistoryReply, SettingInstancesReply,
  type SettingOverride, SettingParams, SettingQuery, SettingRollback, SettingsQuery, SettingsReply, SettingChange as ChangeReply, SettingWatchQuery
} from '../schemas/settings.js'
import { checkNamespaceAccess } from '../services/access/access.js'
import { forbidden } from '../services/access/errors.js'
import { type Principal, seesAll } from '../services/access/principal.js'
import type { ChangeOptions, SettingChange, SettingEdit, SettingState } from '../services/config-store.js'
import { invalidField, InvalidInputError, UnsupportedHereError } from '../services/errors.js'
import { nextPage, positionOf } from '../services/page.js'
import { isNotModified, parsePreconditions } from '../services/preconditions.js'

export interface ConfigRoutesOptions {
  /** The settings of the environment, which hold from the start to the end, with secrets masked. */
  environment: readonly { name: string, value: unknown, isDefault: boolean, default: unknown, description: string }[]
}

const UnconditionalError = createError<[name: string]>(
  'ERR_PRECONDITION_REQUIRED', 'A change of %s needs If-Match with the ETag that you read (or its revision, where several are changed), so that nobody else’s change is undone unseen: GET it first.', 428)

const UnknownRevisionError = createError<[revision: number]>(
  'ERR_GONE', 'There is no going on from revision %d: it is older than the history, or the database was restored or replaced. Read GET /config anew, and watch from its revision.', 410)

/** Limits for everybody that are too low must not stand in the way of whoever corrects them. */
const OWN_LIMIT = { limits: '6000/minute', groupId: 'config' }
const tags = ['Configuration']
const NO_CACHE = 'no-cache'
/** A namespace that nobody can name: what of another's namespace is asked for is as it is there. */
const NOBODYS = '(nobody’s)'

/** The configuration: what is in force and why, and changes that reach every process within a second. Prefix: `/config`. */
const config: FastifyPluginAsyncTypebox<ConfigRoutesOptions> = async (app, { environment }) => {
  const { configStore: store, settingFeed } = app

  app.get('', {
    config: { scope: 'config:read', touches: 'namespace' },
    schema: {
      operationId: 'listSettings',
      summary: 'List all settings',
      description: 'Those that can change while the service runs, and those of the environment; secrets are masked. Also what single namespaces of the cache have of their own.',
      tags,
      querystring: SettingsQuery,
      response: { 200: ref(SettingsReply), ...problems(400, 503) }
    }
  }, async ({ query: { namespace }, principal }, reply) => {
    void reply.header('cache-control', NO_CACHE)
    const own = namespace === undefined ? undefined : store.ownable().map((key) => ownState(principal, key, namespace))
    return {
      revision: store.revision,
      stale: store.isStale,
      settings: own?.map(settingOf) ?? [...store.states().map(settingOf), ...environment.map(fixedSettingOf)],
      overrides: (own?.filter(({ source }) => source === 'namespace') ?? store.ownStates()).map(overrideOf)
    }
  })

  app.get('/:key', {
    config: { scope: 'config:read', touches: 'namespace' },
    schema: {
      operationId: 'getSetting',
      summary: 'Read a setting',
      description: 'With a namespace, as it is in that one: its own value, or the one that holds for all. `explain` shows every value that there is, the one in force last.',
      tags,
      params: SettingParams,
      querystring: SettingQuery,
      headers: SettingConditions,
      response: { 200: ref(Setting), 304: { description: 'It is still at the revision in If-None-Match', type: 'null' }, ...problems(400, 404, 422, 503) }
    }
  }, async (request, reply) => {
    const { params: { key }, query: { explain = false, namespace }, principal } = request
    const fixed = environment.find(({ name }) => name === key)
    void reply.header('cache-control', NO_CACHE)
    if (fixed !== undefined) {
      if (namespace !== undefined) checkChangeable(key)
      return { ...fixedSettingOf(fixed), ...(explain && { layers: fixedLayersOf(fixed) }) }
    }
    const state = namespace === undefined ? store.state(key) : ownState(principal, key, namespace)
    tag(reply, state)
    const noneMatch = request.headers['if-none-match']
    // Where a namespace has nothing of its own, what it has changes with what holds for all, of which its revision says nothing.
    const isTold = namespace === undefined ? !explain : state.revision > 0 && !explain
    if (noneMatch !== undefined && isTold && isNotModified(noneMatch, `r${state.revision}`)) return reply.code(304).send()
    return {
      ...settingOf(state),
      ...(explain && { layers: state.layers }),
      ...(explain && namespace === undefined && { overrides: store.ownStates(key).map(overrideOf) })
    }
  })

  app.put('/:key', {
    config: { scope: 'config:write', touches: 'namespace', audit: 'config.change', rateLimit: OWN_LIMIT },
    schema: {
      operationId: 'changeSetting',
      summary: 'Change a setting',
      description: 'Stores a value over that of the environment, or, with a namespace of the cache, over what holds for all. It holds in this process with the answer, in every other within a second, and after a restart. ' +
        'Entries that are there already stay as they are.',
      tags,
      params: SettingParams,
      querystring: SettingChangeQuery,
      headers: SettingConditions,
      body: ref(NewSettingValue),
      response: { 200: ref(Setting), ...problems(400, 404, 412, 422, 428, 503) }
    }
  }, async (request, reply) => {
    const { key } = request.params
    checkChangeable(key, request.query.namespace)
    const options = changeOptions(request, reply, key)
    return changed(reply, await store.set(key, valueIn(request.body), options), options)
  })

  app.delete('/:key', {
    config: { scope: 'config:delete', touches: 'namespace', audit: 'config.reset', rateLimit: OWN_LIMIT },
    schema: {
      operationId: 'resetSetting',
      summary: 'Take a setting out of the store',
      description: 'What the environment says holds again, or the default; in a namespace what holds for all.',
      tags,
      params: SettingParams,
      querystring: SettingChangeQuery,
      headers: SettingConditions,
      response: { 200: ref(Setting), ...problems(400, 404, 412, 422, 428, 503) }
    }
  }, async (request, reply) => {
    const { key } = request.params
    checkChangeable(key, request.query.namespace)
    const options = changeOptions(request, reply, key)
    return changed(reply, await store.remove(key, options), options)
  })

  app.get('/:key/history', {
    config: { scope: 'config:read', touches: 'namespace' },
    schema: {
      operationId: 'listSettingChanges',
      summary: 'List the changes of a setting',
      tags,
      params: SettingParams,
      querystring: SettingHistoryQuery,
      response: { 200: ref(SettingHistoryReply), ...problems(400, 404, 422, 503) }
    }
  }, async ({ params: { key }, query: { limit = 100, cursor, namespace }, principal }, reply) => {
    if (namespace === '*' && !seesAll(principal)) throw forbidden('The credential is limited to namespaces: name one of them.')
    const before = cursor === undefined ? undefined : Number(positionOf(cursor))
    const place = namespace === undefined ? null : namespace === '*' ? undefined : seen(principal, namespace)
    const found = await store.history({ name: key, limit: limit + 1, ...place !== undefined && { namespace: place }, ...before !== undefined && { before } })
    const page = found.slice(0, limit)
    const next = nextPage(found.length > limit ? page.at(-1)?.revision : undefined)
    if (next.next_cursor !== undefined) {
      const more = new URLSearchParams({ limit: String(limit), cursor: next.next_cursor, ...namespace !== undefined && { namespace } })
      void reply.header('link', `<${app.prefix}/${key}/history?${more.toString()}>; rel="next"`)
    }
    return { key, changes: page.map(changeOf), ...next }
  })

  app.post('/:key/rollback', {
    config: { scope: 'config:write', touches: 'namespace', audit: 'config.roll-back', rateLimit: OWN_LIMIT },
    schema: {
      operationId: 'rollBackSetting',
      summary: 'Go back to an earlier value',
      description: 'The value of that revision, as a new revision.',
      tags,
      params: SettingParams,
      querystring: SettingChangeQuery,
      headers: SettingConditions,
      body: Type.Union([ref(SettingRollback), Type.Null()]),
      response: { 200: ref(Setting), ...problems(400, 404, 412, 422, 503) }
    }
  }, async (request, reply) => {
    const { key } = request.params
    checkChangeable(key, request.query.namespace)
    const options = changeOptions(request, reply, key, false)
    const rolledBack = (state: SettingState) => ({ status: 200, ...(options.dryRun === true ? {} : { headers: { etag: etagOf(state) } }), body: settingOf(state) })
    return await reply.sendOutcome(rolledBack(await store.rollBack(key, request.body?.revision, { ...options, recording: request.recording(rolledBack) })))
  })

  app.post('-batch', {
    config: { scope: 'config:write', touches: 'handler', audit: 'config.change', rateLimit: OWN_LIMIT },
    schema: {
      operationId: 'changeSettings',
      summary: 'Change several settings together',
      description: 'All of them, or none. Each needs the revision at which it was read, and so nobody’s change is lost. To take one out of the store `config:delete` is needed too.',
      tags,
      querystring: SettingBatchQuery,
      body: ref(SettingEdits),
      response: { 200: ref(SettingEditsReply), ...problems(400, 404, 412, 422, 428, 503) }
    }
  }, async (request, reply) => {
    const { query: { dry_run: dryRun = false }, principal } = request
    const edits = request.body.changes.map((change, index) => editOf(change, index, principal))
    const made = (states: SettingState[]) => ({
      status: 200, body: { revision: Math.max(store.revision, ...states.map(({ revision }) => revision)), settings: states.map(settingOf) }
    })
    return await reply.sendOutcome(made(await store.edit(edits, { by: principal.id, dryRun, call: reply.call, recording: request.recording(made) })))
  })

  app.get('/instances', {
    config: { scope: 'config:read', touches: 'everything' },
    schema: {
      operationId: 'listSettingInstances',
      summary: 'List the processes, and the revision that each lives by',
      tags,
      response: { 200: ref(SettingInstancesReply), ...problems(503) }
    }
  }, async (_request, reply) => {
    const found = await app.settingInstances.list()
    const newest = Math.max(store.revision, ...found.map(({ revision }) => revision))
    void reply.header('cache-control', NO_CACHE)
    return {
      revision: newest,
      instances: found.map(({ id, host, pid, revision, startedAt, seenAt }) => ({
        id, host, pid, revision, current: revision === newest, self: id === app.settingInstances.id, started_at: startedAt.toISOString(), seen_at: seenAt.toISOString()
      }))
    }
  })

  app.get('/watch', {
    config: { scope: 'config:read', touches: 'namespace' },
    sse: 'only',
    schema: {
      operationId: 'watchSettings',
      summary: 'Watch changes',
      description: 'Server-sent events: each change as it takes effect here, with its revision as the id, so that `Last-Event-ID` goes on without a gap.',
      tags,
      querystring: SettingWatchQuery,
      headers: lastEventId,
      response: { 200: messages(ChangeReply, 'A stream of messages named `setting`'), ...problems(400, 406, 410, 503) }
    }
  }, async (request, reply) => {
    const { query: { namespace }, principal } = request
    const given = request.headers['last-event-id'] ?? request.query.since
    const since = given === undefined ? store.revision : Number(given)
    if (!Number.isSafeInteger(since) || since < 0) throw new InvalidInputError('Last-Event-ID must be the id of an event of this stream: a revision.')
    // Another process may have made it a moment ago.
    if (since > store.revision) await store.load()
    if (since > store.revision || !await settingFeed.reaches(since)) throw new UnknownRevisionError(since)
    const place = namespace === undefined ? undefined : seen(principal, namespace)
    await reply.sendEvents(async function * (ended) {
      for await (const change of settingFeed.after(since, ended)) {
        if (place === undefined || change.namespace === place) yield textOf(change)
      }
    })
  })

  const texts = new WeakMap<SettingChange, string>()
  /** Listeners are given the same changes: each is made into text once. */
  function textOf (change: SettingChange): string {
    const text = texts.get(change) ?? messageText({ id: String(change.revision), event: 'setting', data: changeOf(change) })
    texts.set(change, text)
    return text
  }

  /** As the caller may see it: what strangers have of their own is not there. */
  function ownState (principal: Principal, key: string, namespace: string): SettingState {
    return { ...store.state(key, seen(principal, namespace)), namespace }
  }

  function editOf ({ key, namespace, value, remove, revision }: SettingEdits['changes'][number], index: number, principal: Principal): SettingEdit {
    if (!seesAll(principal)) checkReach(principal, namespace)
    checkChangeable(key, namespace)
    if ((value === undefined) !== (remove === true)) throw invalidField(`body/changes/${index}`, 'needs a value, or remove: give one of them')
    if (remove === true && !principal.scopes.has('config:delete')) throw forbidden(`To take ${key} out of the store the scope config:delete is needed.`, 'config:delete')
    if (revision === undefined) throw new UnconditionalError(key)
    return { name: key, namespace, value, condition: (current) => revision === '*' || revision === current }
  }

  function checkChangeable (key: string, namespace?: string): void {
    if (environment.some(({ name }) => name === key)) {
      throw new UnsupportedHereError(`${key} holds from the start of the service to its end: set it in the environment and start again.`)
    }
    // One that there is not is told before what its change would need.
    store.state(key, namespace)
  }
}

/** What would be has no ETag: nobody could change it. */
function changed (reply: FastifyReply, state: SettingState, { dryRun }: ChangeOptions): Setting {
  if (dryRun !== true) tag(reply, state)
  return settingOf(state)
}

function tag (reply: FastifyReply, state: SettingState): void {
  void reply.header('etag', etagOf(state))
}

const etagOf = ({ revision }: SettingState): string => `"r${revision}"`

/** Who changes what under which condition. */
function changeOptions ({ headers, query, principal }: FastifyRequest, { call }: FastifyReply, key: string, isRequired = true): ChangeOptions {
  const { dry_run: dryRun = false, namespace } = query as { dry_run?: boolean, namespace?: string }
  const preconditions = parsePreconditions(headers['if-match'], headers['if-none-match'])
  if (preconditions === undefined && isRequired) throw new UnconditionalError(key)
  const { match, noneMatch } = preconditions ?? {}
  const condition = (revision: number): boolean =>
    (match === undefined || match === '*' || match.includes(`"r${revision}"`)) &&
    (noneMatch === undefined || (noneMatch === '*' ? revision === 0 : !noneMatch.includes(`"r${revision}"`)))
  return { by: principal.id, namespace, condition, dryRun, call }
}

function valueIn (body: unknown): unknown {
  if (body === undefined) throw new InvalidInputError('A change needs a value: send it as JSON, as it is or as {"value": …}.')
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return body
  const unknown = Object.keys(body).find((name) => name !== 'value')
  if (unknown !== undefined) throw invalidField(`body/${unknown}`, 'is not known here: send the value as it is, or as {"value": …}')
  if (!Object.hasOwn(body, 'value')) throw invalidField('body/value', 'is missing')
  return (body as { value: unknown }).value
}

function settingOf ({ name, namespace, value, source, revision, default: fallback, schema, description, changedAt, changedBy }: SettingState): Setting {
  return {
    key: name,
    ...(namespace !== undefined && { namespace }),
    value,
    source,
    revision,
    default: fallback,
    changeable: true,
    schema,
    description,
    ...(changedAt && { updated_at: changedAt.toISOString(), updated_by: changedBy ?? '' })
  }
}

function fixedSettingOf ({ name, value, isDefault, default: fallback, description }: ConfigRoutesOptions['environment'][number]): Setting {
  return { key: name, value: value ?? null, source: isDefault ? 'default' : 'environment', revision: 0, ...(fallback === undefined ? {} : { default: fallback }), changeable: false, description }
}

function overrideOf ({ name, namespace = '', value, revision, changedAt = new Date(0), changedBy = '' }: SettingState): SettingOverride {
  return { key: name, namespace, value, revision, updated_at: changedAt.toISOString(), updated_by: changedBy }
}

/** The namespace, or one that has nothing of its own for those whose it is not. */
function seen ({ namespaces }: Principal, namespace: string): string {
  return namespaces === undefined || namespaces.has(namespace) ? namespace : NOBODYS
}

/** Of whoever is limited, as the gatekeeper does it where the query names the namespace. @throws ForbiddenError */
function checkReach (principal: Principal, namespace: string | undefined): void {
  if (namespace === undefined || principal.resources !== undefined) throw forbidden('The credential is limited, and does not reach what holds for all namespaces: ask for one that does.')
  checkNamespaceAccess(principal, namespace)
}

function fixedLayersOf ({ value, isDefault, default: fallback }: ConfigRoutesOptions['environment'][number]): Setting['layers'] {
  return [
    ...(fallback === undefined ? [] : [{ source: 'default' as const, value: fallback }]),
    ...(isDefault ? [] : [{ source: 'environment' as const, value: value ?? null }])
  ]
}

function changeOf ({ revision, key, namespace, value, action, changedAt, changedBy }: SettingChange): ChangeReply {
  return { revision, key, ...(namespace !== undefined && { namespace }), ...(value === undefined ? {} : { value }), action, changed_at: changedAt.toISOString(), changed_by: changedBy }
}

export default config
