import neostandard, { resolveIgnoresFromGitignore } from 'neostandard'
import tseslint from 'typescript-eslint'

export default [
  { ignores: [...resolveIgnoresFromGitignore(), 'public/vendor/**', 'clients/typescript/src/schema.ts', 'public/dashboard/**'] },
  ...neostandard({ ts: true }),
  ...tseslint.configs.recommendedTypeChecked.map((config) => ({ ...config, files: ['**/*.ts', '**/*.tsx'] })),
  {
    files: ['**/*.ts', '**/*.tsx'],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // Fastify's register and tap's test return thenables that are meant to be left alone.
      '@typescript-eslint/no-floating-promises': ['error', {
        allowForKnownSafeCalls: [{ from: 'package', package: 'fastify', name: ['register', 'after', 'ready'] }],
        allowForKnownSafePromises: [{ from: 'package', package: '@tapjs/core', name: 'PromiseWithSubtest' }]
      }],
      // `void` marks a promise that is left alone on purpose.
      'no-void': ['error', { allowAsStatement: true }],
      // A plugin is async by Fastify's own convention, with or without an await inside.
      '@typescript-eslint/require-await': 'off',
      // A schema and its type share a name.
      '@typescript-eslint/no-redeclare': 'off',
      '@typescript-eslint/no-explicit-any': 'error',
      // Left with no names, an import would still run the module, and be bundled for browsers.
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { disallowTypeAnnotations: false }]
    }
  },
  // Their packages are not installed with the root's, and one part of what they import is generated: `npm run clients` checks their types.
  { files: ['clients/**/*.ts'], ...tseslint.configs.disableTypeChecked }
]
