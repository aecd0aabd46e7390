import { Type, type Static } from '@sinclair/typebox'
import { ref } from './common.js'
import { storedText } from './stored-text.js'

const id = Type.Integer({ minimum: 1, description: 'Given by the service', examples: [1] })
const name = storedText({ minLength: 1, maxLength: 255, examples: ['Cached User A'] })

export const User = Type.Object({ id, name }, {
  $id: 'User', additionalProperties: false, description: 'A user', examples: [{ id: 1, name: 'Cached User A' }]
})
export type User = Static<typeof User>

export const UserChanges = Type.Object({ name }, {
  $id: 'UserChanges', additionalProperties: false, description: 'The name to give', examples: [{ name: 'Updated User A' }]
})
export type UserChanges = Static<typeof UserChanges>

export const UserReply = Type.Object({ user: ref(User) }, {
  $id: 'UserReply', additionalProperties: false, description: 'One user', examples: [{ user: { id: 1, name: 'Cached User A' } }]
})
export type UserReply = Static<typeof UserReply>

export const UserParams = Type.Object({
  id: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'The user\'s id', examples: [1] })
}, { additionalProperties: false })
export type UserParams = Static<typeof UserParams>
