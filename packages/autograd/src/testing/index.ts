export * from './check-gradient.ts';
export * from './check-op.ts';
export * from './derivatives.ts';
