/** Tiers import @millrace/common and nothing else of ours; e2e speaks only the wire. */
const tiers = ['cms', 'transcoder', 'origin', 'edge']
module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    ...tiers.map((tier) => ({
      name: `${tier}-stands-alone`,
      severity: 'error',
      from: { path: `^${tier}/` },
      to: { path: `^(${['scripts', 'e2e', ...tiers].filter((other) => other !== tier).join('|')})/` },
    })),
    { name: 'common-knows-no-tier', severity: 'error', from: { path: '^common/' }, to: { path: `^(scripts|e2e|${tiers.join('|')})/` } },
    { name: 'e2e-is-black-box', severity: 'error', from: { path: '^e2e/' }, to: { path: `^(${tiers.join('|')})/` } },
    { name: 'scripts-are-black-box', severity: 'error', from: { path: '^scripts/' }, to: { path: `^(${tiers.join('|')})/` } },
    {
      name: 'one-uws-file',
      severity: 'error',
      from: { path: '^edge/', pathNot: '^edge/src/http/uws\\.ts$' },
      // Types are gone at run time.
      to: { path: 'uWebSockets|rjweb', dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'default'] },
  },
}
