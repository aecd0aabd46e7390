/** A sentence of the service's own, in which names stand between backticks. */
export function Described ({ text }: { text: string }) {
  return <>{text.split('`').map((part, index) => index % 2 === 1 ? <code key={index}>{part}</code> : part)}</>
}
