export * from './arbitrary.ts';
export * from './backends.ts';
export * from './check-forward.ts';
export * from './compare.ts';
export * from './run-op.ts';
