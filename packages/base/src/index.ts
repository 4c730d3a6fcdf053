export * from './canonical-json.ts';
export * from './digest.ts';
export * from './errors.ts';
export * from './json-lines.ts';
export * from './nearest-name.ts';
export * from './one-line.ts';
export * from './part.ts';
export * from './schema-rule.ts';
export { writeAtomic } from './write-atomic.ts';
