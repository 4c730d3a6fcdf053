export * from './arbitrary.ts';
export * from './backends.ts';
export * from './check-forward.ts';
export * from './compare.ts';
export * from './compile-texts.ts';
export * from './faulty.ts';
export * from './poisoned.ts';
export * from './run-op.ts';
