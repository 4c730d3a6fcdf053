export * from './hvp.ts';
export * from './jvp.ts';
export type { Value } from './pullback.ts';
export * from './recompute.ts';
export * from './sum-at-once.ts';
export * from './tree.ts';
export * from './value-and-grad.ts';
export * from './vjp.ts';
