import { readFileSync } from 'node:fs'
import { parse } from 'yaml'

export interface Target { expr: string, legendFormat: string }
export interface Panel {
  id: number
  type: string
  title: string
  description?: string
  gridPos: { x: number, y: number, w: number, h: number }
  datasource?: { uid: string }
  targets?: Target[]
}
export interface Variable { name: string, type: string, query: string | { query: string } }
export interface Dashboard {
  uid: string
  title: string
  schemaVersion: number
  panels: Panel[]
  annotations: { list: { expr?: string }[] }
  templating: { list: Variable[] }
}
export interface Alert {
  alert: string
  expr: string
  for?: string
  labels: Record<string, string>
  annotations: Record<string, string>
}

const file = (name: string): string => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')

export const alertsText = file('grafana/alerts.yml')
export const dashboard = JSON.parse(file('grafana/larder.json')) as Dashboard
export const alerts = (parse(alertsText) as { groups: { name: string, rules: Alert[] }[] }).groups.flatMap(({ rules }) => rules)
export const runbook = file('docs/alerts.md')

/** Every query of the dashboard, with what its legend shows. */
export const queries: readonly (Target & { panel: string })[] = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map((target) => ({ ...target, panel: title })))

/** A query as Grafana sends it, for everything. */
export function filledIn (query: string): string {
  return query.replaceAll('$__rate_interval', '1m').replaceAll('$job', '.*').replaceAll('$instance', '.*').replaceAll('$backend', '.*')
}
