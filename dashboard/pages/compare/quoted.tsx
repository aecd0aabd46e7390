/** What somebody has called something, in a sentence: marks of direction in it do not turn the rest of the sentence around. */
export function Quoted ({ name }: { name: string }) {
  return <>“<bdi>{name}</bdi>”</>
}
