// useAnalysis.ts is not here, so that a frontend without React can import this.
export * from './client'
export * from './evidence'
export * from './json'
export * from './quota'
export * from './requests'
export * from './schema'
export * from './uploads'
export * from './watch'
