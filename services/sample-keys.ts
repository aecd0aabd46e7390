/** The cache keys of the sample resources: what reads cache, and what changes drop. */
export const sampleKeys = {
  items: { list: 'all_items', one: (id: string) => `item:${id}` },
  products: { list: 'all_products', one: (id: number | string) => `product:${id}` },
  recipes: {
    list: 'all_recipes',
    one: (id: number | string) => `recipe:${id}`,
    /** What every cached recipe carries: a product that changes changes those that show it. */
    tag: 'recipes'
  },
  users: { one: (id: number | string) => `GET:/api/users/${id}` },
  posts: { list: 'GET:/api/posts/' }
}
