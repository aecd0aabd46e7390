import { Type, type Static } from '@sinclair/typebox'

export const Greeting = Type.Object({
  message: Type.String()
}, { $id: 'Greeting', additionalProperties: false, description: 'A greeting', examples: [{ message: 'Hello, Alice!' }] })
export type Greeting = Static<typeof Greeting>

/** Whom to greet. */
export const name = Type.String({ maxLength: 255, description: 'Whom to greet', examples: ['Alice'] })
