export * from './arbitrary.ts';
export * from './backends.ts';
export * from './check-op.ts';
export * from './compare.ts';
export * from './run-op.ts';
