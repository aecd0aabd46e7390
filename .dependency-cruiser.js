// Who may know whom: the rooms of the source tree, and what each may import. `npm run imports` holds it.
// An `import type` counts as an import too; where only types may be known, the rule says so.

const entry = (name) => `^${name}\\.ts$`
const valuesOnly = { dependencyTypesNot: ['type-only'] }

/** Imports of our own sources, from one room, that lead elsewhere than allowed. */
const room = (name, comment, path, allowed, exceptions = {}) => ({
  name,
  comment,
  severity: 'error',
  from: { path, ...exceptions },
  to: { path: ['^(config|schemas|services|plugins|routes|dashboard|test|bench|demos|scripts|tools|clients)/', '^[^/]+\\.ts$'], pathNot: allowed }
})

export default {
  forbidden: [
    room('schemas', 'Schemas know schemas alone.', '^schemas/', ['^schemas/']),
    room('services', 'Services know services, and schemas as types.', '^services/', ['^services/', '^schemas/'], { pathNot: '^services/cache/' }),
    room('engine', 'The cache engine knows itself.', '^services/cache/', ['^services/cache/']),
    room('plugins', 'Plugins know services, schemas, each other, and the type of the configuration.', '^plugins/', ['^(plugins|services|schemas|config)/']),
    room('routes', 'Routes know plugins, services and schemas.', '^routes/', ['^(routes|plugins|services|schemas)/']),
    room('config', 'The configuration knows schemas, and how keys, rates and addresses are written.', '^config(/|\\.ts$)', ['^config(/|\\.ts$)', '^schemas/', '^services/cache/codec/key-source\\.ts$', '^services/limits/rates\\.ts$', '^services/access/address-list\\.ts$']),
    room('server', 'The process knows the application, the configuration, how it ends, and the other processes.', entry('server'), [entry('app'), '^config(/|\\.ts$)', entry('life'), '^services/processes/']),
    room('tools', 'What starts servers knows none of the sources.', '^tools/', ['^tools/']),
    room('dashboard', 'The dashboard knows the schemas of what it asks for.', '^dashboard/', ['^(dashboard|schemas)/']),
    {
      name: 'schemas-are-types-to-the-dashboard',
      comment: 'A browser is sent no validator.',
      severity: 'error',
      from: { path: '^dashboard/' },
      to: { path: '^schemas/', ...valuesOnly }
    },
    room('clients', 'Clients speak HTTP, and are used without the service.', '^clients/', ['^clients/']),
    room('demos', 'Demonstrations speak HTTP.', '^demos/', ['^(demos|tools)/']),
    {
      name: 'schemas-are-types-to-services',
      comment: 'A service knows the shape of its data, not how it is validated.',
      severity: 'error',
      from: { path: '^services/' },
      to: { path: '^schemas/', ...valuesOnly }
    },
    {
      name: 'configuration-is-a-type-to-plugins',
      comment: 'Options travel as arguments; the environment is read once, in config.ts.',
      severity: 'error',
      from: { path: '^plugins/' },
      to: { path: '^config(/|\\.ts$)', ...valuesOnly }
    },
    {
      name: 'routes-belong-to-the-application',
      comment: 'Nothing imports a route but app.ts, the table of contents among the routes, and tests.',
      severity: 'error',
      from: { pathNot: ['^(routes|test)/', entry('app')] },
      to: { path: '^routes/' }
    },
    {
      name: 'nobody-imports-the-server',
      comment: 'server.ts listens as soon as it is imported.',
      severity: 'error',
      from: {},
      to: { path: entry('server') }
    },
    {
      name: 'schemas-are-typebox',
      comment: 'Schemas do nothing: TypeBox is the only package they need.',
      severity: 'error',
      from: { path: '^schemas/' },
      to: { dependencyTypes: ['npm', 'npm-dev', 'core'], pathNot: 'node_modules/@sinclair/typebox/' }
    },
    {
      name: 'services-without-fastify',
      comment: 'Services run without the framework; errors carry its codes, so @fastify/error is theirs too.',
      severity: 'error',
      from: { path: '^services/' },
      to: { path: 'node_modules/(fastify|fastify-plugin|@fastify)/', pathNot: 'node_modules/@fastify/error/' }
    },
    {
      name: 'routes-without-clients',
      comment: 'A route asks a service; it holds no client and no SQL.',
      severity: 'error',
      from: { path: '^routes/' },
      to: { path: 'node_modules/(pg|ioredis|@nearform/sql|@electric-sql/[^/]+|postgrator)/' }
    },
    {
      name: 'no-circles',
      severity: 'error',
      from: { path: '^(config/|schemas|services|plugins|routes|[^/]+\\.ts$)' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } }
    },
    {
      name: 'nothing-unresolved',
      severity: 'error',
      // What clients import is installed, or generated, by `npm run clients`.
      from: { pathNot: '^clients/' },
      to: { couldNotResolve: true }
    },
    {
      name: 'no-development-packages',
      comment: 'What runs in production may not need what only development installs.',
      severity: 'error',
      from: { path: '^(config/|schemas|services|plugins|routes|[^/]+\\.ts$)' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] }
    }
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    combinedDependencies: false
  }
}
