export const TRACES: readonly string[]
export function trace (name: string, length: number, seed?: number): Int32Array
