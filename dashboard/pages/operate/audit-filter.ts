/** The questions that the audit log answers, as they are typed. */
export interface AuditFilter { principal: string, action: string, outcome: string, credential_id: string, since: string, until: string }

export const AUDIT_FIELDS = ['principal', 'action', 'outcome', 'credential_id', 'since', 'until'] as const

export function auditFilterOf (query: Readonly<Record<string, string>>): AuditFilter {
  return Object.fromEntries(AUDIT_FIELDS.map((field) => [field, query[field] ?? ''])) as unknown as AuditFilter
}

/** As the API takes it: what is empty is left out, and times that are typed in the zone of whoever looks are in UTC. */
export function auditQuery (filter: AuditFilter): Record<string, string> {
  const { since, until, ...words } = filter
  const given = Object.entries(words).map(([field, text]) => [field, text.trim()] as const).filter(([, text]) => text !== '')
  const times = Object.entries({ since, until }).flatMap(([field, text]) => {
    const time = new Date(text)
    return text === '' || Number.isNaN(time.getTime()) ? [] : [[field, time.toISOString()] as const]
  })
  return Object.fromEntries([...given, ...times])
}

/** A log, the newest first, of which a part is known, and where what is older goes on. */
export interface LogPages<T> { entries: readonly T[], older: string | undefined }

/**
 * With its newest page as it is now. Where that has nothing of what is known, something between them may be missing: then the page
 * alone is what is known.
 */
export function withNewest<T extends { id: string }> (known: LogPages<T>, page: readonly T[], next: string | undefined): LogPages<T> {
  const ids = new Set(page.map(({ id }) => id))
  const first = known.entries.findIndex(({ id }) => ids.has(id))
  if (first === -1) return { entries: page, older: next }
  const rest = known.entries.filter(({ id }) => !ids.has(id))
  return { entries: [...page, ...rest], older: known.older }
}
