import { compileFunction } from 'node:vm'
import { type Container, copyOf, isContainer, isFlat } from './copy.js'

/** Copies after which a copier is compiled, which takes as long as some hundred of them. */
const WORTH = 100
/** Shapes that are known at once; what is of no known shape is copied as any value is. */
export const MOST_SHAPES = 512
/** Members that a copier names, and how deep it goes. What is beyond is copied as any value is. */
const MOST_MEMBERS = 40
const DEEPEST = 4
/** Names that go into code as they are. What holds others is copied as any value is: no text of a caller's becomes code but a name. */
const NAME = /^[A-Za-z_$][\w$]{0,63}$/

/** The number of the shape that any value has. */
const ANY = 0

/** Promises a copy that its caller may change. One that knows the shape makes the promise, too, for a quarter of what it costs elsewhere. */
type Copier = (value: unknown) => Promise<unknown>

/**
 * What values with the same members in the same order have in common: how they are copied. One place in the code that copies whatever
 * comes slows to a fifth when five shapes have come by. So a shape whose values are copied often gets a function of its own, in which
 * the members stand by name.
 */
export class Shape {
  /** Of a value of this shape. */
  copy: Copier
  readonly code: string
  /** Its place among the shapes that are known. */
  readonly number: number
  /** The values of this shape that are held. */
  values = 0

  /** @param code copies `value`, when it is compiled */
  constructor (code: string, number: number) {
    this.code = code
    this.number = number
    let copies = 0
    this.copy = (value) => {
      if (++copies === WORTH) this.copy = compiled(code)
      return Promise.resolve(copyOf(value))
    }
  }
}

/** The shapes of the values that are held. */
export class Shapes {
  #byCode = new Map<string, Shape>()
  #byNumber: Shape[] = [new Shape('copyOf(value)', ANY)]
  #free: number[] = []

  at (number: number): Shape { return this.#byNumber[number] as Shape }

  /**
   * @param value an object or a list of plain JSON, which is held from now on
   * @returns the number of its shape
   */
  hold (value: unknown): number {
    const code = codeFor(value, 'value', DEEPEST, { members: MOST_MEMBERS })
    const shape = this.#byCode.get(code) ?? this.#learn(code, value)
    shape.values++
    return shape.number
  }

  /** A value of this shape is held no more. */
  release (number: number): void {
    const shape = this.at(number)
    if (--shape.values > 0 || number === ANY) return
    this.#byCode.delete(shape.code)
    this.#free.push(number)
  }

  #learn (code: string, value: unknown): Shape {
    const number = this.#free.pop() ?? this.#byNumber.length
    if (number === MOST_SHAPES) return this.at(ANY)
    meetNulls(value)
    const shape = new Shape(code, number)
    this.#byNumber[number] = shape
    this.#byCode.set(code, shape)
    return shape
  }
}

const compiled = (code: string): Copier =>
  (compileFunction(`return (value) => Promise.resolve(${code})`, ['copyOf']) as (copy: typeof copyOf) => Copier)(copyOf)

/**
 * The engine keeps a number that is not small and whole in a box beside its object, one for each object, as long as it has seen nothing
 * but numbers in that member: a copy would have to fetch the box, which lies in another line of memory, and to make another. Once the member
 * has been null in an object of the same shape, copies take over a reference to the box, and never look at it. That holds for the
 * caller's own objects of the shape as well: what they lose is that such a number can be overwritten in its box.
 */
function meetNulls (value: unknown): void {
  JSON.parse(JSON.stringify(value, (_name, member: unknown) => typeof member === 'number' ? null : member))
}

/** An expression that copies what is at `path`. */
function codeFor (value: unknown, path: string, depth: number, budget: { members: number }): string {
  if (!isContainer(value)) return path
  if (Array.isArray(value)) {
    if (isFlat(value)) return `${path}.slice()`
    return areAlike(value) ? `${path}.map((each) => (${codeFor(value[0], 'each', 1, budget)}))` : `copyOf(${path})`
  }
  const members = Object.entries(value)
  budget.members -= members.length
  // In a literal, `__proto__` would be the prototype.
  if (depth === 0 || budget.members < 0 || !members.every(([name]) => NAME.test(name) && name !== '__proto__')) return `copyOf(${path})`
  return `{ ${members.map(([name, member]) => `${name}: ${codeFor(member, `${path}.${name}`, depth - 1, budget)}`).join(', ')} }`
}

/** Whether all are flat objects with the same members in the same order. */
function areAlike (list: unknown[]): list is Container[] {
  const isFlatObject = (value: unknown): value is object => isContainer(value) && !Array.isArray(value) && isFlat(value)
  const [first] = list
  if (!isFlatObject(first)) return false
  const names = Object.keys(first)
  return list.every((value) => {
    if (!isFlatObject(value)) return false
    const others = Object.keys(value)
    return others.length === names.length && others.every((name, at) => name === names[at])
  })
}
