import { useEffect, useState } from 'preact/hooks'
import { timeLeft } from './value-text.js'

/** Seconds that are left now of a TTL that was told at a moment; undefined: it never expires. */
export const leftOf = (ttl: number, at: number, now = Date.now()): number | undefined => ttl === 0 ? undefined : ttl - (now - at) / 1000

/** Counts down. @param at when the TTL was told, in milliseconds since 1970 */
export function TimeLeft ({ ttl, at }: { ttl: number, at: number }) {
  const [now, setNow] = useState(at)
  useEffect(() => {
    setNow(Date.now())
    if (ttl === 0) return undefined
    const timer = setInterval(() => { if (document.visibilityState === 'visible') setNow(Date.now()) }, 1000)
    return () => { clearInterval(timer) }
  }, [ttl, at])
  return <>{timeLeft(leftOf(ttl, at, now))}</>
}
