/** Operate. */
export default function Operate () {
  return <h1>Operate</h1>
}
