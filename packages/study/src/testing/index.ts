export * from './simulated-study.ts';
export * from './simulated-tables.ts';
