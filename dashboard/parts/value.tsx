/** A value of the cache, as text and nothing else. */
export function Value ({ value, label }: { value: unknown, label: string }) {
  return <pre class='value' tabIndex={0} aria-label={label}><code>{typeof value === 'string' ? value : JSON.stringify(value, null, 2)}</code></pre>
}
