import { Type, type Static } from '@sinclair/typebox'
import { nextCursor } from './common.js'
import { storedText } from './stored-text.js'

const title = storedText({ minLength: 1, maxLength: 255, examples: ['New Post A'] })

export const NewPost = Type.Object({ title }, {
  $id: 'NewPost', additionalProperties: false, description: 'A post to create', examples: [{ title: 'New Post A' }]
})
export type NewPost = Static<typeof NewPost>

export const PostListReply = Type.Object({ posts: Type.Array(title), next_cursor: nextCursor }, {
  $id: 'PostListReply',
  additionalProperties: false,
  description: 'The titles of posts in the order of their creation',
  examples: [{ posts: ['Cached post A', 'Cached post B'] }]
})
export type PostListReply = Static<typeof PostListReply>
