// Bundles for Node and for the browser: the scenarios with the module of examples/web and its packages.
// Environment: BUNDLES, a folder.
const here = import.meta.dirname
const web = `${here}/../../../examples/web`

export default ['node', 'browser'].map((platform) => ({
  input: `${here}/${platform}.mjs`,
  platform,
  resolve: {
    modules: [`${web}/node_modules`],
    alias: { 'sentinel/useAnalysis': `${web}/src/sentinel/useAnalysis.ts`, sentinel: `${web}/src/sentinel/index.ts` },
  },
  transform: { define: { 'process.env.NODE_ENV': '"production"' } },
  output: { file: `${process.env.BUNDLES}/${platform}.mjs`, codeSplitting: false },
}))
